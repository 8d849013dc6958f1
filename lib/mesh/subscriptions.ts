/** Our own subscriptions: announced while they last, and heard of when they are full or a handler throws. */
import type { Clock } from "../clock.ts"
import type { Events } from "../events.ts"
import { Failure, failureOf } from "./answering.ts"
import type { Context } from "./context.ts"
import type { Counters } from "./counters.ts"
import type { MeshDropReason, MeshEvents } from "./events.ts"
import type { MeshMessage } from "./message.ts"
import type { Subscription, SubscriptionOwner } from "./subscription.ts"

export interface SubscriptionsOwner extends Context {
  readonly counters: Counters
  readonly events: Events<MeshEvents>
  confirmed(timeout: number): Promise<void>
  /** A queue group may have room again here, or none any more. */
  load(queue: string): void
}

export class Subscriptions implements SubscriptionOwner {
  readonly clock: Clock
  readonly all: Set<Subscription> = new Set()
  /** For those that are not the user's: they hold no process alive, and nobody is told of them. */
  readonly unseen: SubscriptionOwner
  private readonly owner: SubscriptionsOwner

  constructor(owner: SubscriptionsOwner) {
    this.clock = owner.clock
    this.owner = owner
    this.unseen = {
      clock: owner.clock,
      onThrow: this.onThrow.bind(this),
      onDrop: this.onDrop.bind(this),
      onLoad() {},
      onSlow() {},
      onStop() {},
      onClose() {},
      confirmed: this.confirmed.bind(this),
    }
  }

  add(subscription: Subscription): void {
    const { local, interest } = this.owner
    this.all.add(subscription)
    local.add(subscription)
    interest.acquire(subscription)
    this.clock.hold()
  }

  onStop(subscription: Subscription): void {
    if (!this.all.has(subscription)) return
    const { local, interest } = this.owner
    local.remove(subscription)
    interest.release(subscription)
  }

  onClose(subscription: Subscription): void {
    if (this.all.delete(subscription)) this.clock.release()
  }

  onThrow(subscription: Subscription, error: unknown, message: MeshMessage): void {
    this.owner.fail(error, subscription.pattern)
    message.reply?.(failureOf(error))
  }

  onDrop(subscription: Subscription, reason: MeshDropReason, message: MeshMessage): void {
    this.owner.counters.drop(reason, 1, message.raw.length, undefined, subscription.pattern)
    // Who asked is told at once, rather than left to wait.
    message.reply?.(new Failure("BUSY", ""))
  }

  onLoad({ queue }: Subscription): void {
    if (queue !== undefined) this.owner.load(queue)
  }

  onSlow(subscription: Subscription, full: boolean): void {
    this.owner.events.emit("slow", { subject: subscription.pattern, full })
  }

  confirmed(timeout: number): Promise<void> {
    return this.owner.confirmed(timeout)
  }

  /** Ends all of them. */
  end(): void {
    for (const subscription of [...this.all]) subscription.unsubscribe()
  }
}
