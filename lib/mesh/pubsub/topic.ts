/**
 * A network's topic of a node's pubsub service: `/earshot/mesh/1/<network>`. Each message is one content in one frame
 * (PROTOCOL.md), its subject inside, since topics know no wildcards.
 */
import { EarshotError, wrap } from "../../errors.ts"
import type { PubsubNode, PubsubPeer, PubsubService, SignedMessage } from "./node.ts"

const PREFIX = "/earshot/mesh/1/"

/** What a validator answers: `ignore` is neither handed over nor passed on; `reject` is held against the peer, too. */
export type Verdict = "accept" | "ignore" | "reject"

export interface TopicOwner {
  /** A message that another node published, with its signature verified, once. `by`: the peer that handed it to us. */
  judge(data: Uint8Array, from: PubsubPeer, by: PubsubPeer): Verdict
  /** Peers may have come or gone. */
  onPeers(): void
  /** The node was stopped, and there is no topic any more. */
  onStop(): void
}

/** Why nobody was given a message. */
export type Refusal = "alone" | "refused"

/** What the engine made of a message: how many peers were given it, or why nobody was. */
export type Published =
  | { readonly sent: number }
  | { readonly sent: 0; readonly refusal: Refusal; readonly error: EarshotError }

export class Topic {
  readonly name: string
  private readonly node: PubsubNode
  private readonly pubsub: PubsubService
  private readonly owner: TopicOwner
  private left = false

  /** Subscribes. Throws EINVAL, ENOTSUP, EADDRNOTAVAIL, EADDRINUSE: see `gossipsub`. */
  constructor(node: PubsubNode, network: string, owner: TopicOwner) {
    this.name = PREFIX + network
    this.node = node
    this.pubsub = serviceOf(node)
    this.owner = owner
    const { name, pubsub } = this
    if (pubsub.topicValidators.has(name) || pubsub.getTopics().includes(name))
      throw new EarshotError("EADDRINUSE", `this libp2p node takes part in the network ${network} already`)
    try {
      pubsub.subscribe(name)
    } catch (error) {
      throw wrap(error, "EADDRNOTAVAIL")
    }
    pubsub.topicValidators.set(name, this.judge)
    pubsub.addEventListener("subscription-change", this.onPeers)
    node.addEventListener("stop", this.onStop)
  }

  /**
   * Peer ids of connected nodes that take part and can be given something: whose wish has come in, and for whom the engine has a
   * stream, which it opens on its own time and tells nobody of. Without one it gives them nothing.
   */
  get peers(): string[] {
    const { name, node, pubsub } = this
    const reached = new Set<string>()
    for (const { remotePeer, streams } of node.getConnections())
      for (const { protocol, direction, status } of streams)
        if (direction === "outbound" && status === "open" && pubsub.protocols.includes(protocol))
          reached.add(remotePeer.toString())
    return pubsub
      .getSubscribers(name)
      .map((peer) => peer.toString())
      .filter((id) => reached.has(id))
  }

  /** Signs and sends it. Never rejects. */
  async publish(data: Uint8Array): Promise<Published> {
    try {
      const { recipients } = await this.pubsub.publish(this.name, data)
      // An engine with `emitSelf` names its own node, too.
      const sent = recipients.filter((peer) => !peer.equals(this.node.peerId)).length
      return sent > 0 ? { sent } : refusal("alone", "no connected peer was given it")
    } catch (error) {
      const { message } = (error ?? {}) as Partial<Error>
      const alone = message === "PublishError.NoPeersSubscribedToTopic"
      return refusal(alone ? "alone" : "refused", `the pubsub service refused a message: ${message}`, error)
    }
  }

  /** Idempotent. */
  leave(): void {
    const { name, node, pubsub } = this
    if (this.left) return
    this.left = true
    if (pubsub.topicValidators.get(name) === this.judge) pubsub.topicValidators.delete(name)
    pubsub.removeEventListener("subscription-change", this.onPeers)
    node.removeEventListener("stop", this.onStop)
    try {
      pubsub.unsubscribe(name)
    } catch {
      // The engine has stopped, and is subscribed to nothing.
    }
  }

  /** The engine's validator, and where messages are taken, too: the engine asks once for each, and its own never come by. */
  private readonly judge = (by: PubsubPeer, { type, from, data }: SignedMessage): Verdict => {
    if (type !== "signed") return "reject"
    // What we publish never comes in by itself: this one was played back.
    if (from.equals(this.node.peerId)) return "ignore"
    return this.owner.judge(data, from, by)
  }

  private readonly onPeers = (): void => this.owner.onPeers()
  private readonly onStop = (): void => this.owner.onStop()
}

function refusal(why: Refusal, message: string, cause?: unknown): Published {
  return { sent: 0, refusal: why, error: new EarshotError("EHOSTUNREACH", message, cause) }
}

function serviceOf(node: PubsubNode): PubsubService {
  const given = node as { readonly [Name in keyof PubsubNode]?: unknown } | undefined
  if (typeof given?.addEventListener !== "function" || given.peerId === undefined)
    throw new EarshotError("EINVAL", "gossipsub({ node }) takes a libp2p node")
  const pubsub = (given.services as { readonly pubsub?: Partial<PubsubService> } | undefined)?.pubsub
  if (typeof pubsub?.publish !== "function" || !(pubsub.topicValidators instanceof Map))
    throw new EarshotError(
      "ENOTSUP",
      "the libp2p node has no services.pubsub: give it one with gossipsub() of @libp2p/gossipsub",
    )
  if (pubsub.globalSignaturePolicy !== "StrictSign")
    throw new EarshotError(
      "ENOTSUP",
      "unsigned pubsub takes two equal messages for one and can't say who published: set globalSignaturePolicy to StrictSign",
    )
  if (given.status !== "started")
    throw new EarshotError("EADDRNOTAVAIL", `the libp2p node is ${String(given.status)}: start it first`)
  return pubsub as PubsubService
}
