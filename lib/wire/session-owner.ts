/** What a session is made with, and who hears from it. */
import type { Clock } from "../clock.ts"
import type { Message } from "../contract.ts"
import type { EarshotError } from "../errors.ts"
import type { HeartbeatOptions } from "./heartbeat.ts"
import type { Session } from "./session.ts"

export interface SessionOptions {
  readonly clock: Clock
  readonly maxMessageSize: number
  readonly maxMessageParts: number
  /** ms from the link's beginning to the end of the handshake. */
  readonly handshakeInterval: number
  /** Bytes have come or gone. */
  readonly active?: (() => void) | undefined
  /** Flush at once when so many messages wait for the turn to end. */
  readonly batch: number
  /** `earshot`: the peer showed our property, so that it answers PINGs whatever it is doing. */
  heartbeat(earshot: boolean): HeartbeatOptions
}

/** Who a session tells. `onClose` comes once and last, whether or not there was a handshake. */
export interface SessionOwner {
  onReady(session: Session): void
  onMessage(message: Message, size: number): void
  onCommand(name: string, body: Uint8Array): void
  /** Messages are taken again. */
  onDrain(): void
  onClose(session: Session, error?: EarshotError): void
}
