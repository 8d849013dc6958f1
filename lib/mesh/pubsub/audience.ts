/** The subscriptions of one mesh over pubsub: which of them get a message, and what becomes of it there. */
import type { Clock } from "../../clock.ts"
import { EarshotError } from "../../errors.ts"
import type { Events } from "../../events.ts"
import { failureOf } from "../answering.ts"
import type { Content } from "../content.ts"
import type { Counters } from "../counters.ts"
import type { MemberInfo, MeshDropReason, MeshEvents } from "../events.ts"
import { MeshMessage } from "../message.ts"
import type { Subscription, SubscriptionOwner } from "../subscription.ts"
import { SubjectTable } from "../subject-table.ts"

export class Audience implements SubscriptionOwner {
  readonly clock: Clock
  readonly all: Set<Subscription> = new Set()
  private readonly table = new SubjectTable<Subscription, readonly Subscription[]>((matched) => matched)
  private readonly counters: Counters
  private readonly events: Events<MeshEvents>

  constructor(clock: Clock, counters: Counters, events: Events<MeshEvents>) {
    this.clock = clock
    this.counters = counters
    this.events = events
  }

  add(subscription: Subscription): void {
    this.all.add(subscription)
    this.table.add(subscription.pattern, subscription)
    this.clock.hold()
  }

  /** Does anybody here want it? */
  wants(subject: string): boolean {
    return this.table.lookup(subject).length > 0
  }

  /** `from` has been proven. */
  deliver(content: Content, from: MemberInfo): void {
    const message = new MeshMessage(content, from, undefined, from.id)
    for (const subscription of this.table.recall(content.about)) subscription.deliver(message)
  }

  fail(error: unknown, subject?: string): void {
    this.counters.errors++
    const wrapped = error instanceof Error ? error : new Error(failureOf(error).text)
    this.events.emit("error", subject === undefined ? { error: wrapped } : { error: wrapped, subject })
  }

  /** Ends all of them. */
  end(): void {
    for (const subscription of [...this.all]) subscription.unsubscribe()
  }

  onStop(subscription: Subscription): void {
    this.table.remove(subscription.pattern, subscription)
  }

  onClose(subscription: Subscription): void {
    if (this.all.delete(subscription)) this.clock.release()
  }

  onThrow(subscription: Subscription, error: unknown): void {
    this.fail(error, subscription.pattern)
  }

  onDrop(subscription: Subscription, reason: MeshDropReason, message: MeshMessage): void {
    this.counters.drop(reason, 1, message.raw.length, undefined, subscription.pattern)
  }

  onSlow(subscription: Subscription, full: boolean): void {
    this.events.emit("slow", { subject: subscription.pattern, full })
  }

  /** It is in no queue group. */
  onLoad(): void {}

  /** For a caller without our types: they have no `ready` of a subscription. */
  confirmed(): Promise<void> {
    return Promise.reject(new EarshotError("ENOTSUP", "over pubsub nobody confirms that a subscription is known"))
  }
}
