/** For a leaf, which has one link: who else could carry it. For a page also: where it may dial at all. */
import type { PeerRecord } from "./gossip.ts"

/** Members, and addresses, that are remembered: the newest. */
const MOST = 256

export class Carriers {
  /** By id; what has none, by its first endpoint. */
  private readonly spare = new Map<string, { readonly id: string | undefined; readonly endpoints: readonly string[] }>()
  /** Given by the page's own program, or advertised. */
  private readonly told = new Set<string>()

  /** By discovery, which the program itself has chosen. */
  give(endpoints: readonly string[]): void {
    for (const endpoint of endpoints) renew(this.told, endpoint)
  }

  /** What a member says of itself, or of another. */
  hear({ endpoints, advertised }: Pick<PeerRecord, "endpoints" | "advertised">): void {
    this.give(endpoints.slice(0, advertised))
  }

  isTold(endpoint: string): boolean {
    return this.told.has(endpoint)
  }

  remember(id: string | undefined, endpoints: readonly string[]): void {
    const key = id ?? endpoints[0]
    if (key === undefined) return
    this.spare.delete(key)
    this.spare.set(key, { id, endpoints })
    if (this.spare.size > MOST) this.spare.delete(this.spare.keys().next().value!)
  }

  list(): Iterable<{ readonly id: string | undefined; readonly endpoints: readonly string[] }> {
    return [...this.spare.values()]
  }
}

function renew(set: Set<string>, value: string): void {
  set.delete(value)
  set.add(value)
  if (set.size > MOST) set.delete(set.values().next().value!)
}
