/**
 * From a link's first byte to traffic: the greeting, the mechanism's commands, what the peer says of itself, and the word
 * of whoever judges it. Until that word is yes a peer hears of us nothing but the greeting.
 */
import type { Command, Greeting, Mechanism, Metadata, SocketType } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import { checkType, readAnnouncement, type Announcement } from "./announcement.ts"
import { NullMechanism, printable } from "./null.ts"

/** What a peer announced, and who it has proven to be. */
export interface Introduction extends Announcement {
  readonly userId?: string | undefined
}

/** Resolves to who it is, or to false for a peer that may not come in. */
export type Judge = (peer: Introduction) => Promise<{ readonly userId?: string | undefined } | false>

export interface HandshakeOptions {
  /** What we announce of ourselves. */
  readonly properties: Metadata
  readonly accepts: readonly SocketType[]
  /** Absent: everybody may come in. */
  readonly judge?: Judge | undefined
}

/** What a handshake asks of its session. */
export interface HandshakeOwner {
  command(name: string, body: Uint8Array): void
  /** The judge has the floor: nothing more is read until `passed` or `failed`. */
  judging(): void
  passed(peer: Introduction): void
  failed(error: unknown): void
}

const MAX_COMMANDS = 16

export class Handshake {
  readonly mechanism: Mechanism
  /** The judge said no. */
  refused = false
  private readonly owner: HandshakeOwner
  private readonly options: HandshakeOptions
  private commands = 0
  /** Our first command, while the judge has not spoken. */
  private withheld: Command | undefined

  constructor(owner: HandshakeOwner, options: HandshakeOptions) {
    this.owner = owner
    this.options = options
    this.mechanism = new NullMechanism(options.properties)
  }

  greeted(greeting: Greeting): void {
    const { mechanism, owner, options } = this
    if (greeting.mechanism !== mechanism.name)
      throw new EarshotError(
        "MECHANISM",
        `peer uses the mechanism ${printable(greeting.mechanism) || "(none)"}, this socket ${mechanism.name}`,
      )
    const first = mechanism.start()
    if (options.judge !== undefined) this.withheld = first
    else if (first !== undefined) owner.command(first.name, first.body)
  }

  received(name: string, body: Uint8Array): void {
    if (++this.commands > MAX_COMMANDS) throw new EarshotError("EPROTO", "too many commands in the handshake")
    const { mechanism, owner, options } = this
    const answer = mechanism.receive(name, body)
    if (answer !== undefined) owner.command(answer.name, answer.body)
    if (mechanism.peer === undefined) return
    const peer = readAnnouncement(mechanism.peer)
    if (options.judge === undefined) return this.admit(peer)
    owner.judging()
    options
      .judge(peer)
      .then(
        (verdict) => this.judged(peer, verdict),
        (error: unknown) => {
          throw new EarshotError("AUTH_FAILED", undefined, error)
        },
      )
      .catch((error: unknown) => owner.failed(error))
  }

  private judged(peer: Introduction, verdict: { readonly userId?: string | undefined } | false): void {
    if (verdict === false) {
      this.refused = true
      throw new EarshotError("REFUSED", "authenticate said no")
    }
    this.admit({ ...peer, userId: verdict.userId })
  }

  private admit(peer: Introduction): void {
    const { owner, options, withheld } = this
    checkType(peer, options.accepts)
    if (withheld !== undefined) owner.command(withheld.name, withheld.body)
    owner.passed(peer)
  }
}
