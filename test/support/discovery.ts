/** A mesh as a discovery sees it. */
import { systemClock, type Clock } from "../../lib/clock.ts"
import type { Announcement, Candidate, Discovery, DiscoveryHost, Finding } from "../../lib/mesh/contract.ts"
import { freshId, networkHash } from "../../lib/mesh/identity.ts"
import type { Test } from "tap"

export class TestHost implements DiscoveryHost {
  readonly clock: Clock
  self: Announcement
  linked = 0
  readonly candidates: Candidate[] = []
  readonly gone: string[] = []
  readonly findings: Finding[] = []

  constructor(self: Partial<Announcement> = {}, clock: Clock = systemClock) {
    this.clock = clock
    const own = { id: freshId(clock), network: networkHash("test"), version: 1, endpoints: [], open: false }
    this.self = { ...own, ...self }
  }

  found(candidate: Candidate): void {
    this.candidates.push(candidate)
  }

  lost(id: string): void {
    this.gone.push(id)
  }

  note(finding: Finding): void {
    this.findings.push(finding)
  }

  /** Every endpoint found since the last `forget`, sorted. */
  get endpoints(): string[] {
    return [...new Set(this.candidates.flatMap(({ endpoints }) => endpoints))].sort()
  }

  forget(): void {
    this.candidates.length = 0
  }

  /** The last thing heard of a member. */
  heard(id: string): Candidate | undefined {
    return this.candidates.findLast((candidate) => candidate.id === id)
  }
}

/** Stops it with the test. */
export function tidyDiscovery<D extends Discovery>(t: Test, discovery: D): D {
  t.teardown(() => discovery.stop())
  return discovery
}
