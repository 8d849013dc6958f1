/** What a heartbeat may see and do of its session. */
import { EMPTY } from "../bytes.ts"
import type { EarshotError } from "../errors.ts"
import type { HeartbeatLink } from "./heartbeat.ts"
import { pingBody } from "./probes.ts"
import type { Session } from "./session.ts"

export class Beat implements HeartbeatLink {
  private readonly session: Session
  constructor(session: Session) {
    this.session = session
  }
  get paused(): boolean {
    return this.session.readingPaused
  }
  get partial(): boolean {
    return this.session.partial
  }
  get unconfirmed(): number {
    return this.session.link.unconfirmed
  }
  ping(timeToLive: number): void {
    // Both: the transport's is answered for a program that sleeps, ours is heard by one that can't see the transport's.
    this.session.command("PING", pingBody(timeToLive, EMPTY))
    this.session.link.ping?.()
  }
  dead(error: EarshotError): void {
    this.session.end(error)
  }
}
