/** What `gossipsub()` and the methods of what it gives take. */
import { systemClock, type Clock } from "../../clock.ts"
import { EarshotError } from "../../errors.ts"
import { Codecs } from "../codecs.ts"
import type { PayloadCodec } from "../contract.ts"
import type { PublishOptions } from "../outgoing.ts"
import type { SubscribeOptions } from "../subscription.ts"
import type { PubsubNode } from "./node.ts"

/** What `gossipsub()` takes. */
export interface PubsubOptions {
  /**
   * Your libp2p node (js-libp2p 3), started, with `services: { pubsub: gossipsub(), identify: identify() }`. It finds and dials
   * others as you have set it up; Earshot never dials by it and never stops it.
   */
  readonly node: PubsubNode
  /** Only those of one network see each other's messages; anyone may join. 1 to 256 characters. Default "default". */
  readonly network?: string | undefined
  /** Payloads of what is published here. Default `msgpack`. */
  readonly codec?: PayloadCodec | undefined
  /** Further codecs, for what others publish. */
  readonly codecs?: readonly PayloadCodec[] | undefined
  /**
   * Bytes of the largest message that is published, taken or passed on, with its subject and headers. Default 1,000,000: many
   * engines take 1 MiB with all that is around it, and end the stream for more.
   */
  readonly maxMessageSize?: number | undefined
  /** All time. Default: the platform's. */
  readonly clock?: Clock | undefined
}

/** How one message is published over pubsub. */
export type PubsubPublishOptions = Pick<PublishOptions, "headers" | "echo" | "codec">

/** How a subscription over pubsub takes what comes. */
export type PubsubSubscribeOptions = Omit<SubscribeOptions, "queue" | "prefetch" | "responds">

/** What `ready` waits for. */
export interface PubsubReadyConditions {
  /** So many nodes are connected to ours and take part. Default 1. */
  readonly peers?: number | undefined
  /** ms. Default 10,000; then TIMEOUT. */
  readonly timeout?: number | undefined
}

/** Complete and checked, but for the node. */
export interface PubsubSettings {
  readonly node: PubsubNode
  readonly network: string
  readonly codecs: Codecs
  readonly maxMessageSize: number
  readonly clock: Clock
}

const KNOWN: ReadonlySet<string> = new Set("node network codec codecs maxMessageSize clock".split(" "))

/** Throws EINVAL for what can never work. */
export function readOptions(options: PubsubOptions): PubsubSettings {
  if (typeof options !== "object" || (options as unknown) === null)
    throw new EarshotError("EINVAL", `options are an object, not ${typeof options}`)
  for (const name of Object.keys(options))
    if (!KNOWN.has(name)) throw new EarshotError("EINVAL", `gossipsub() has no option ${name}`)
  const { node, network = "default", maxMessageSize = 1_000_000, clock = systemClock } = options
  if (typeof network !== "string" || network === "" || network.length > 256)
    throw new EarshotError("EINVAL", "network must be a string of 1 to 256 characters")
  if (maxMessageSize !== Infinity && !(Number.isInteger(maxMessageSize) && maxMessageSize >= 1024))
    throw new EarshotError("EINVAL", "maxMessageSize must be a whole number from 1024")
  return { node, network, codecs: new Codecs(options.codec, options.codecs), maxMessageSize, clock }
}
