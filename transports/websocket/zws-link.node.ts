/** A link of ZWS 2.0 (RFC 45): each chunk is one binary message, which carries one frame of ZMTP. */
import { EarshotError } from "../../lib/errors.ts"
import { WireLink, type Joint } from "./link.node.ts"

export class ZwsLink extends WireLink {
  readonly protocol: "zws" | "zws-bare"
  /** Absent without a mechanism: libzmq then answers none (WIRE 1.10), and would be declared dead. */
  readonly ping?: () => void

  constructor(joint: Joint, protocol: "zws" | "zws-bare") {
    super(joint)
    this.protocol = protocol
    if (protocol === "zws") this.ping = () => this.ask()
  }

  protected carry(chunks: readonly Uint8Array[]): void {
    for (let i = 0; i < chunks.length; i++) this.send(chunks[i]!)
  }

  protected takes(_data: Uint8Array, binary: boolean): boolean {
    if (!binary) throw new EarshotError("EPROTO", "a text message")
    return true
  }
}
