/** What discoveries and links noticed: bounded, the newest of each kind and thing. `diagnose.ts` makes causes of it. */
import type { Clock } from "../clock.ts"
import type { Finding } from "./contract.ts"
import { printable } from "./printable.ts"

/** What was noticed, about what (an endpoint, a member), and when last (ms on the mesh's clock). */
export interface Noted extends Finding {
  readonly about: string
  readonly at: number
}

const MOST = 256

export class Findings {
  private readonly clock: Clock
  private readonly noted = new Map<string, Noted>()

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Undefined: it was known already. */
  note(finding: Finding, about: string): Noted | undefined {
    const { noted } = this
    const key = `${finding.key} ${about}`
    const known = noted.delete(key)
    if (noted.size >= MOST) noted.delete(noted.keys().next().value!)
    const evidence = printable(finding.evidence)
    const fresh: Noted = { ...finding, evidence, about, at: this.clock.now() }
    noted.set(key, fresh)
    return known ? undefined : fresh
  }

  /** It is so no more. */
  clear(about: string): void {
    for (const [key, finding] of this.noted) if (finding.about === about) this.noted.delete(key)
  }

  /** Of the last `span` ms, the newest first. */
  recent(span: number): Noted[] {
    const since = this.clock.now() - span
    return [...this.noted.values()].filter(({ at }) => at >= since).toReversed()
  }
}
