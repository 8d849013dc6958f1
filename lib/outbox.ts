/** What users send: straight to the pattern, or, while that takes nothing, in line. Nobody overtakes. */
import type { Clock } from "./clock.ts"
import type { Message, Pattern } from "./contract.ts"
import { EarshotError } from "./errors.ts"
import type { Settings } from "./options.ts"
import { Waiters } from "./waiters.ts"

/** One promise for every send that was taken at once. */
const TAKEN: Promise<void> = Promise.resolve()

export class Outbox {
  private readonly senders: Waiters<Message, void>
  private readonly settings: Settings
  private readonly pattern: Pattern & Required<Pick<Pattern, "send">>
  private pumping = false

  constructor(clock: Clock, settings: Settings, pattern: Pattern) {
    this.settings = settings
    this.pattern = pattern as Outbox["pattern"]
    this.senders = new Waiters(clock, () => this.pump())
  }

  /** Users wait. */
  get waiting(): boolean {
    return this.senders.length > 0
  }

  trySend(message: Message): boolean {
    this.pattern.checkSend?.(this.senders.length > 0)
    return this.senders.length === 0 && this.pattern.send(message)
  }

  send(message: Message, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error)
    try {
      this.pattern.checkSend?.(this.senders.length > 0)
      if (this.senders.length === 0 && this.pattern.send(message)) return TAKEN
    } catch (error) {
      return Promise.reject(error)
    }
    return this.senders.wait(message, this.settings.sendTimeout, this.settings.maxPending, signal)
  }

  /** The pattern takes messages again. */
  pump(): void {
    if (this.pumping) return
    this.pumping = true
    for (let sender = this.senders.first; sender !== undefined; sender = this.senders.first) {
      try {
        if (!this.pattern.send(sender.item)) break
        sender.settle()
      } catch (error) {
        sender.fail(error)
      }
    }
    this.pumping = false
  }

  close(error: EarshotError): void {
    this.senders.failAll(error)
  }
}
