/** What was given to a link and has not left it, by flushes: when the link dies, how many messages may or may not arrive. */
export class Unconfirmed {
  messages = 0
  bytes = 0
  /** Oldest first. */
  private readonly flushes: { readonly messages: number; readonly bytes: number }[] = []

  /** A flush after which the link holds `left` bytes; the flush itself is unconfirmed. */
  add(messages: number, bytes: number, left: number): void {
    this.flushes.push({ messages, bytes })
    this.messages += messages
    this.bytes += bytes
    this.settle(Math.max(left, bytes))
  }

  /** The link holds `left` bytes: the flushes before these have left. */
  settle(left: number): void {
    for (
      let first = this.flushes[0];
      first !== undefined && this.bytes - first.bytes >= left;
      first = this.flushes[0]
    ) {
      this.flushes.shift()
      this.messages -= first.messages
      this.bytes -= first.bytes
    }
  }
}
