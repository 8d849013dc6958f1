/** Runs a mesh's discoveries, keeps what they and the links found odd, and knows who may be dialled. */
import type { Timer } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import { Carriers } from "./carriers.ts"
import type { Announcement, Candidate, Discovery, DiscoveryHost, Finding, LogLevel, Platform } from "./contract.ts"
import type { Outcome } from "./doors.ts"
import type { MeshEvents } from "./events.ts"
import { Findings } from "./findings.ts"
import type { PeerRecord } from "./gossip.ts"
import type { Hub } from "./hub.ts"
import { networkHash } from "./identity.ts"
import type { Introduction } from "./introduction.ts"
import type { Member } from "./member.ts"
import { printable } from "./printable.ts"
import { MAJOR } from "./wire.ts"

/** Endpoints that somebody wrote down, as far as they are remembered. */
const MAX_WRITTEN = 1024
/** ms between two clocks that somebody should know of. */
const APART = 10_000
/** ms that discoveries have for their goodbye. */
const STOPPING = 2000

export class Finder implements DiscoveryHost {
  readonly rounds: Promise<void>[] = []
  readonly findings: Findings
  private readonly hub: Hub
  private readonly platform: Platform
  private readonly discovery: readonly Discovery[]
  private readonly network: string
  private warned = false
  /** Somebody else listens to the event "error". */
  hush: () => void = () => {}
  readonly carriers: Carriers = new Carriers()
  /** Endpoints of seeds and names, of whom nobody knows yet who is there. */
  private readonly written = new Set<string>()

  constructor(hub: Hub, platform: Platform) {
    this.hub = hub
    this.platform = platform
    this.discovery = hub.settings.discovery
    this.network = networkHash(hub.settings.network)
    this.findings = new Findings(hub.clock)
    if (hub.settings.log !== undefined) platform.logEvents?.(hub.events, (level, text) => this.log(level, text))
    else this.hush = hub.events.on("error", (event) => this.onUnheard(event))
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
              evidence: `${discovery.name} does not work: ${(error as Error).message}`,
              cure: "use another discovery, such as seeds()",
            })
            this.hub.fail(error)
          }),
      )
  }

  nudge(): void {
    for (const discovery of this.discovery) this.guard(() => discovery.nudge?.())
  }

  announce(): void {
    for (const discovery of this.discovery) this.guard(() => discovery.announce?.())
  }

  /** What a discovery does wrong, or never, holds nobody up. */
  async stop(): Promise<void> {
    const all = Promise.allSettled(this.discovery.map(async (discovery) => discovery.stop()))
    let timer: Timer | undefined
    const late = new Promise<void>((resolve) => (timer = this.clock.timeout(resolve, STOPPING)))
    await Promise.race([all, late])
    timer?.cancel()
  }

  private guard(ask: () => void): void {
    try {
      ask()
    } catch (error) {
      this.hub.fail(error)
    }
  }

  // --- For discoveries ---

  get clock(): Hub["clock"] {
    return this.hub.clock
  }

  get self(): Announcement {
    const { identity, settings, shown: endpoints } = this.hub
    return { id: identity.id, network: this.network, version: MAJOR, endpoints, open: settings.open }
  }

  get linked(): number {
    return this.hub.links.linkedCount
  }

  found({ id, endpoints, version, network }: Candidate): void {
    const { hub } = this
    if (hub.closed) return
    // Who has our id and is not where we are, came by a copy of our state.
    if (id === hub.identity.id)
      return hub.links.reach.found(
        undefined,
        endpoints.filter((endpoint) => !hub.endpoints.includes(endpoint)),
      )
    const where = endpoints[0] ?? "an unknown place"
    if (network !== undefined && network !== this.network)
      return this.note({ key: "other-network", evidence: `a member of another network was heard at ${where}` }, where)
    if (version !== undefined && version !== MAJOR) {
      const evidence = `a member that was heard at ${where} speaks version ${version} of the mesh protocol, we ${MAJOR}`
      return this.note({ key: "other-version", evidence }, where)
    }
    if (id === undefined)
      for (const endpoint of endpoints) if (this.written.size < MAX_WRITTEN) this.written.add(endpoint)
    const news = id === undefined ? endpoints.filter((endpoint) => !this.isLinked(endpoint)) : endpoints
    this.carriers.give(endpoints)
    if (!hub.settings.open && endpoints.length > 0 && !endpoints.some((endpoint) => this.allowed(endpoint)))
      this.warnPrivate(where, id === undefined ? "was named" : "was heard")
    this.reach(id, news)
  }

  /** Whoever is there is linked. */
  private isLinked(endpoint: string): boolean {
    for (const { endpoints } of this.hub.links.linked) if (endpoints.includes(endpoint)) return true
    return false
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
    const { links, leaf, crowd } = this.hub
    // Who has given way is told whose leaf it is, and else chooses among all.
    if (crowd.leaf || (leaf && links.linkedCount > 0)) this.carriers.remember(id, endpoints)
    else links.reach.found(id, endpoints)
  }

  /** `about`: an endpoint or an id; the newest finding of each key about each is kept. */
  note(finding: Finding, about = ""): void {
    const news = this.findings.note(finding, about)
    if (news === undefined) return
    const { evidence, cure } = news
    this.log("info", `${evidence}${cure === undefined ? "" : `; ${cure}`}`)
  }

  // --- Of the links ---

  /** Near enough for a mesh that is private until it is opened. */
  allowed(endpoint: string): boolean {
    const { platform, carriers, hub } = this
    if (platform.advertisedOnly?.(endpoint) === true) return platform.isLocal(endpoint) && carriers.isTold(endpoint)
    return hub.settings.open || platform.isLocal(endpoint)
  }

  onJoin(member: Member): void {
    this.carriers.hear(member)
    const { id, name, endpoints, ahead = 0 } = member
    this.log("info", `${name} (${id}) is linked`)
    for (const about of [id, ...endpoints]) this.findings.clear(about)
    if (Math.abs(ahead) < APART) return
    const seconds = Math.round(Math.abs(ahead) / 1000)
    const evidence = `the clock of ${name} is ${seconds} s ${ahead > 0 ? "ahead of" : "behind"} ours`
    this.note({ key: "clocks-apart", evidence }, id)
  }

  onRefused(endpoint: string, outcome: Outcome, reason: string, peer: Introduction | undefined): void {
    if (outcome === "duplicate") return
    this.log("debug", `${endpoint}: ${reason}`)
    // Who gives way says so itself.
    if (outcome === "crowded" || outcome === "yields" || outcome === "leaf") return
    if (outcome === "self") {
      const evidence = `${endpoint}, where a member was to be, is this member itself`
      if (this.written.has(endpoint)) this.note({ key: "seed-self", evidence }, endpoint)
    } else if (outcome === "full" || outcome === "laden") {
      this.note({ key: outcome, evidence: `${endpoint}: ${reason}` }, endpoint)
      this.hub.denials.add({ what: "link", ...(peer && { member: peer.id }), reason, count: 1 })
    } else if (outcome === "failed") this.note({ key: "refused", evidence: `${endpoint}: ${reason}` }, endpoint)
    else if (peer?.id !== this.hub.identity.id) this.noteForeign(endpoint, reason, peer)
  }

  onTurnedAway(remote: string, reason: string, peer: Introduction): void {
    this.log("debug", `${remote} (${peer.name}) was turned away: ${reason}`)
    if (peer.network === this.hub.settings.network && peer.version[0] === MAJOR) return
    this.noteForeign(remote.replace(/:\d+$/, ""), reason, peer)
    if (peer.network !== this.hub.settings.network)
      this.hub.denials.add({ what: "link", member: peer.id, reason, count: 1 })
  }

  onFailure(endpoint: string, error: unknown): void {
    const { code, message } = error instanceof EarshotError ? error : new EarshotError("ECONNREFUSED", String(error))
    if (code === "ECANCELED") return
    this.log("debug", `${endpoint}: ${message}`)
    const key = this.written.has(endpoint) ? "seed-silent" : "unreachable"
    this.note({ key, evidence: `${endpoint} can't be reached: ${message}` }, endpoint)
  }

  /** A handler has thrown, and nobody hears of it: the first is printed. */
  private onUnheard({ error, subject }: MeshEvents["error"]): void {
    if (subject === undefined) return
    this.hush()
    this.platform.log(printable(`earshot: error in ${subject}: ${error.message} (all: mesh.on("error"))`))
  }

  log(level: LogLevel, text: string): void {
    const { log, name } = this.hub.settings
    if (log === "debug" || log === level) this.platform.log(printable(`earshot ${name}: ${text}`))
  }

  private noteForeign(where: string, reason: string, peer: Introduction | undefined): void {
    const key = peer !== undefined && peer.version[0] !== MAJOR ? "other-version" : "other-network"
    this.note({ key, evidence: `a member was met at ${where}: ${reason}` }, where)
  }

  private warnPrivate(endpoint: string, how: string): void {
    const evidence = `a member ${how} at ${endpoint}, and this one keeps to its own host`
    this.note({ key: "private", evidence }, endpoint)
    if (this.warned) return
    this.warned = true
    this.platform.log(printable(`earshot: ${evidence}: pass \`open: true\` to Mesh.join to link with other hosts`))
  }
}
