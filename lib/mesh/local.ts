/** Our own subscriptions: which of them get a message that came in. */
import type { Content } from "./content.ts"
import type { MemberInfo } from "./events.ts"
import { MeshMessage } from "./message.ts"
import type { Subscription } from "./subscription.ts"
import { SubjectTable } from "./subject-table.ts"

interface LocalRoute {
  /** In no group. */
  readonly plain: readonly Subscription[]
  /** Of these, who does not answer requests. */
  readonly watching: readonly Subscription[]
  readonly groups: ReadonlyMap<string, readonly Subscription[]>
  /** Who answers: by group, or "" for those in none. */
  readonly servers: ReadonlyMap<string, readonly Subscription[]>
}

export class Local {
  private readonly table = new SubjectTable<Subscription, LocalRoute>(derive)
  private readonly groups = new Map<string, Set<Subscription>>()
  private turn = 0

  get size(): number {
    return this.table.size
  }

  add(subscription: Subscription): void {
    const { pattern, queue } = subscription
    this.table.add(pattern, subscription)
    if (queue === undefined) return
    const group = this.groups.get(queue)
    if (group === undefined) this.groups.set(queue, new Set([subscription]))
    else group.add(subscription)
  }

  remove(subscription: Subscription): void {
    const { pattern, queue } = subscription
    this.table.remove(pattern, subscription)
    const group = queue === undefined ? undefined : this.groups.get(queue)
    group?.delete(subscription)
    if (group?.size === 0) this.groups.delete(queue!)
  }

  /** All our subscriptions of that group are full; true where there are none. */
  full(group: string): boolean {
    for (const subscription of this.groups.get(group) ?? []) if (!subscription.full) return false
    return true
  }

  /** To everybody who is in no group. `copy`: of a request, for those who don't answer. */
  deliver(content: Content, from: MemberInfo, copy: boolean): void {
    const { plain, watching } = this.table.recall(content.about)
    const to = copy ? watching : plain
    if (to.length === 0) return
    const message = new MeshMessage(content, from)
    for (let i = 0; i < to.length; i++) to[i]!.deliver(message)
  }

  /** To one of a group. False: nobody there has room for it. */
  deliverTo(group: string, content: Content, from: MemberInfo, force: boolean): boolean {
    const subscription = this.choose(this.table.recall(content.about).groups.get(group), force)
    subscription?.deliver(new MeshMessage(content, from))
    return subscription !== undefined
  }

  /** Who of a group is to answer; undefined where nobody can. `group` undefined: all that are in none. */
  servers(subject: string, group: string | undefined): readonly Subscription[] {
    return this.table.lookup(subject).servers.get(group ?? "") ?? []
  }

  /** The next in turn that has room; `force`: whoever has the least before it. */
  choose(subscriptions: readonly Subscription[] | undefined, force: boolean): Subscription | undefined {
    if (subscriptions === undefined || subscriptions.length === 0) return undefined
    for (let i = 0; i < subscriptions.length; i++) {
      const subscription = subscriptions[(this.turn + i) % subscriptions.length]!
      if (subscription.full) continue
      this.turn = (this.turn + i + 1) % 0x7fff_ffff
      return subscription
    }
    if (!force) return undefined
    this.turn = (this.turn + 1) % 0x7fff_ffff
    return subscriptions[this.turn % subscriptions.length]
  }
}

function derive(subscriptions: readonly Subscription[]): LocalRoute {
  const plain: Subscription[] = []
  const groups = new Map<string, Subscription[]>()
  const servers = new Map<string, Subscription[]>()
  for (const subscription of subscriptions) {
    const { queue, responds } = subscription
    if (queue === undefined) plain.push(subscription)
    else put(groups, queue, subscription)
    if (responds) put(servers, queue ?? "", subscription)
  }
  return { plain, watching: plain.filter(({ responds }) => !responds), groups, servers }
}

function put(groups: Map<string, Subscription[]>, name: string, subscription: Subscription): void {
  const group = groups.get(name)
  if (group === undefined) groups.set(name, [subscription])
  else group.push(subscription)
}
