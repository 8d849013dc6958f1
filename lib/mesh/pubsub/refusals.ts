/** What there is in a mesh of links and not over pubsub: absent from the types, and refused with the way out. */
import { EarshotError } from "../../errors.ts"
import { namesOf } from "../option-checks.ts"
import type { PubsubPublishOptions, PubsubReadyConditions, PubsubSubscribeOptions } from "./options.ts"

const ELSEWHERE = "join a mesh of links for it (Mesh.join)"
const REQUESTS = `there are no requests over pubsub, which reaches everybody or nobody: ${ELSEWHERE}`
const MEMBERS = "over pubsub nobody knows all others, or what they want"

/** Methods of `Mesh`. */
const methods: Readonly<Record<string, string>> = {
  request: REQUESTS,
  requestMany: REQUESTS,
  serve: REQUESTS,
  flush: `over pubsub nobody says what has been read: await publish(), or ${ELSEWHERE}`,
  drain: "over pubsub: drain() each subscription, then close()",
  setMeta: `${MEMBERS}: publish it, or ${ELSEWHERE}`,
  sample: `over pubsub everything comes to everybody: subscribe, or ${ELSEWHERE}`,
  explain: `${MEMBERS}: ${ELSEWHERE}`,
  diagnose: `${MEMBERS}: see peers and stats(), and libp2p's own log`,
  health: `${MEMBERS}: see peers, closed and stats()`,
}

/** Options of `Mesh`'s methods, whatever their value but undefined. */
const options: Readonly<Record<"subscribe" | "publish" | "ready", Readonly<Record<string, string>>>> = {
  subscribe: {
    queue: `there are no queue groups over pubsub, where everybody gets everything: ${ELSEWHERE}`,
    prefetch: `it is for queue groups, which there are none of over pubsub: ${ELSEWHERE}`,
    responds: REQUESTS,
  },
  publish: {
    confirm: `over pubsub nobody says what has been taken: ${ELSEWHERE}`,
    onFull: `it is for links, and pubsub has none: await publish() to go at its pace, or ${ELSEWHERE}`,
  },
  ready: {
    members: `${MEMBERS}: wait for { peers }, which are connected to this node, or ${ELSEWHERE}`,
    subject: `${MEMBERS}: wait for { peers }, or ${ELSEWHERE}`,
  },
}

/** Those that there are. */
const NAMES: Readonly<Record<keyof typeof options, object>> = {
  subscribe: namesOf<PubsubSubscribeOptions>({
    concurrency: true,
    queueSize: true,
    queueBytes: true,
    onFull: true,
    signal: true,
  }),
  publish: namesOf<PubsubPublishOptions>({ headers: true, echo: true, codec: true }),
  ready: namesOf<PubsubReadyConditions>({ peers: true, timeout: true }),
}

/** Gives a class what its type hasn't: methods that throw ENOTSUP. */
export function refuseMethods(prototype: object): void {
  for (const [name, why] of Object.entries(methods))
    Object.defineProperty(prototype, name, {
      configurable: true,
      value() {
        throw new EarshotError("ENOTSUP", `${name}(): ${why}`)
      },
    })
}

/** Throws ENOTSUP for options that only a mesh of links has, EINVAL for those that nobody has, and for what is no object. */
export function refuseOptions(method: keyof typeof options, given: object): void {
  if (typeof given !== "object" || (given as unknown) === null)
    throw new EarshotError("EINVAL", `options are an object, not ${typeof given}`)
  for (const [name, why] of Object.entries(options[method])) {
    const value: unknown = (given as Readonly<Record<string, unknown>>)[name]
    // What says "no" is no wish.
    if (value !== undefined && value !== false) throw new EarshotError("ENOTSUP", `${name}: ${why}`)
  }
  for (const name in given)
    if (!Object.hasOwn(NAMES[method], name) && !Object.hasOwn(options[method], name))
      throw new EarshotError("EINVAL", `over pubsub ${method} has no option ${name}`)
}
