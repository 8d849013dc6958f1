/** Runs a mesh's discoveries, keeps what they and the links found odd, and knows who may be dialled. */
import { EarshotError } from "../errors.ts"
import { Carriers } from "./carriers.ts"
import type { Announcement, Candidate, Discovery, DiscoveryHost, Finding, Platform } from "./contract.ts"
import type { Outcome } from "./doors.ts"
import type { PeerRecord } from "./gossip.ts"
import type { Hub } from "./hub.ts"
import { networkHash } from "./identity.ts"
import type { Introduction } from "./introduction.ts"
import type { Member } from "./member.ts"
import { printable } from "./printable.ts"
import { MAJOR } from "./wire.ts"

/** Findings kept, the newest of each key. */
const MAX_FINDINGS = 256

/** What was noticed, how often, and when last (ms on the mesh's clock). */
export interface Noted extends Finding {
  readonly count: number
  readonly at: number
}

export class Finder implements DiscoveryHost {
  readonly rounds: Promise<void>[] = []
  readonly findings: Map<string, Noted> = new Map()
  private readonly hub: Hub
  private readonly platform: Platform
  private readonly discovery: readonly Discovery[]
  private readonly network: string
  private warned = false
  private readonly carriers = new Carriers()

  constructor(hub: Hub, platform: Platform) {
    this.hub = hub
    this.platform = platform
    this.discovery = hub.settings.discovery
    this.network = networkHash(hub.settings.network)
  }

  /** Once the member listens. `known`: where members were reached last time. */
  start(known: readonly string[]): void {
    if (known.length > 0) this.hub.links.reach.found(undefined, known)
    for (const discovery of this.discovery)
      this.rounds.push(
        Promise.resolve()
          .then(() => discovery.start(this))
          .catch((error: unknown) => {
            this.note({
              key: `discovery-failed-${discovery.name}`,
              evidence: `${discovery.name}: ${(error as Error).message}`,
            })
            this.hub.fail(error)
          }),
      )
  }

  /** The first of what `diagnose()` would say. */
  get likeliest(): Noted | undefined {
    return this.findings.get("private") ?? [...this.findings.values()].at(-1)
  }

  get hint(): string | undefined {
    return this.hub.links.linkedCount > 0 ? undefined : this.likeliest?.evidence
  }

  nudge(): void {
    for (const discovery of this.discovery) discovery.nudge?.()
  }

  announce(): void {
    for (const discovery of this.discovery) discovery.announce?.()
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.discovery.map((discovery) => discovery.stop()))
  }

  // --- For discoveries ---

  get clock(): Hub["clock"] {
    return this.hub.clock
  }

  get self(): Announcement {
    const { identity, endpoints, settings } = this.hub
    return { id: identity.id, network: this.network, version: MAJOR, endpoints, open: settings.open }
  }

  get linked(): number {
    return this.hub.links.linkedCount
  }

  found({ id, endpoints, version, network }: Candidate): void {
    const { hub } = this
    if (hub.closed || id === hub.identity.id) return
    if (network !== undefined && network !== this.network)
      return this.note({
        key: "other-network",
        evidence: `a member of another network is at ${endpoints[0] ?? "an unknown place"}`,
        cure: "give both the same network name, if they are to see each other",
      })
    if (version !== undefined && version !== MAJOR)
      return this.note({
        key: "other-version",
        evidence: `a member at ${endpoints[0] ?? "an unknown place"} speaks version ${version} of the mesh protocol, we ${MAJOR}`,
        cure: "update the older of the two",
      })
    this.carriers.give(endpoints)
    if (!hub.settings.open && endpoints.length > 0 && !endpoints.some((endpoint) => this.allowed(endpoint)))
      this.warnPrivate(endpoints[0]!)
    this.reach(id, endpoints)
  }

  /** Another member says that somebody is alive there. */
  onRecord(record: PeerRecord): void {
    const { id, endpoints } = record
    this.carriers.hear(record)
    this.reach(id, endpoints)
  }

  /** A leaf has lost the one that carried it. */
  onAlone(): void {
    for (const { id, endpoints } of this.carriers.list()) this.hub.links.reach.found(id, endpoints)
  }

  private reach(id: string | undefined, endpoints: readonly string[]): void {
    const { links, leaf } = this.hub
    if (!leaf || links.linkedCount === 0) return links.reach.found(id, endpoints)
    this.carriers.remember(id, endpoints)
  }

  note(finding: Finding): void {
    const { findings, hub } = this
    const old = findings.get(finding.key)
    findings.delete(finding.key)
    if (findings.size >= MAX_FINDINGS) findings.delete(findings.keys().next().value!)
    const evidence = printable(finding.evidence)
    findings.set(finding.key, { ...finding, evidence, count: (old?.count ?? 0) + 1, at: hub.clock.now() })
    if (old === undefined) this.log("info", `${evidence}${finding.cure === undefined ? "" : `; ${finding.cure}`}`)
  }

  // --- Of the links ---

  /** Near enough for a mesh that is private until it is opened. */
  allowed(endpoint: string): boolean {
    const { platform, carriers, hub } = this
    if (platform.advertisedOnly === true) return platform.isLocal(endpoint) && carriers.isTold(endpoint)
    return hub.settings.open || platform.isLocal(endpoint)
  }

  onJoin(member: Member): void {
    this.carriers.hear(member)
    this.log("info", `${member.name} (${member.id}) is linked`)
  }

  onRefused(endpoint: string, outcome: Outcome, reason: string, peer: Introduction | undefined): void {
    if (outcome === "duplicate") return
    this.log("debug", `${endpoint}: ${reason}`)
    if (outcome === "self") return this.note({ key: `self-${endpoint}`, evidence: `${endpoint} is this member itself` })
    if (outcome === "foreign")
      this.note({
        key: peer !== undefined && peer.version[0] !== MAJOR ? "other-version" : "other-network",
        evidence: `${endpoint}: ${reason}`,
        cure: "give both the same network name and version, if they are to see each other",
      })
    else this.note({ key: `refused-${endpoint}`, evidence: `${endpoint}: ${reason}` })
  }

  onTurnedAway(remote: string, reason: string, peer: Introduction): void {
    this.log("debug", `${remote} (${peer.name}) was turned away: ${reason}`)
    if (peer.network !== this.hub.settings.network)
      this.hub.events.emit("denied", { what: "link", member: peer.id, reason })
  }

  onFailure(endpoint: string, error: unknown): void {
    const { code, message } = error instanceof EarshotError ? error : new EarshotError("ECONNREFUSED", String(error))
    if (code === "ECANCELED") return
    this.log("debug", `${endpoint}: ${message}`)
    this.note({
      key: `unreachable-${endpoint}`,
      evidence: `${endpoint} can't be reached: ${message}`,
      cure: "look at firewalls, at what listens there, and (macOS) at the Local Network permission",
    })
  }

  onClash(peer: Introduction): void {
    this.note({
      key: "clash",
      evidence: `another living member (${peer.name}) has our id ${peer.id}`,
      cure: "don't copy state files between machines",
    })
  }

  log(level: "info" | "debug", text: string): void {
    const { log, name } = this.hub.settings
    if (log === "debug" || log === level) this.platform.log(printable(`earshot ${name}: ${text}`))
  }

  private warnPrivate(endpoint: string): void {
    this.note({
      key: "private",
      evidence: `a member was heard at ${endpoint}, and this one keeps to its own host`,
      cure: "pass `open: true` to Mesh.join to link with other hosts",
    })
    if (this.warned) return
    this.warned = true
    this.platform.log(
      `earshot: a member was heard at ${endpoint}; this one is private to its host (pass open: true to link with others)`,
    )
  }
}
