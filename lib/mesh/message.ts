/** A message as subscribers get it. */
import type { EarshotError } from "../errors.ts"
import type { Content } from "./content.ts"
import type { Headers } from "./contract.ts"
import type { MemberInfo } from "./events.ts"

/** What one who answers may add. */
export interface ReplyOptions {
  /** Names and values that travel with the answer. Default: none. */
  readonly headers?: Headers
}

/** Answers a request. Once: a second answer is ignored. */
export type ReplyFunction = (data: unknown, options?: ReplyOptions) => void

/** A message, decoded when it is looked at. Shared by all subscriptions of a member that it matches: don't write to it. */
export class MeshMessage<Data = any> {
  /** Who published or asked. A leaf's messages come from the member that carries it. */
  readonly from: MemberInfo
  /** Who that was proven to be; undefined where nothing proves it. */
  readonly user: string | undefined
  /** Set where an answer is awaited, and this subscription is the one to give it. */
  readonly reply: ReplyFunction | undefined
  private readonly content: Content

  /** @internal */
  constructor(content: Content, from: MemberInfo, reply?: ReplyFunction, user?: string) {
    this.content = content
    this.from = from
    this.reply = reply
    this.user = user
  }

  /** A value kept for late subscribers. Nobody keeps values yet, so it is false. */
  get retained(): boolean {
    return false
  }

  /** As published: never with wildcards. */
  get subject(): string {
    return this.content.subject
  }

  /** Decoded by the codec that it was published with; undefined where nobody here has that, or the bytes are none of it. */
  get data(): Data {
    return this.content.data as Data
  }

  /** @internal Why there is no `data`: DECODE. */
  get problem(): EarshotError | undefined {
    return this.content.problem
  }

  /** The payload as it travelled. A view: copy what you keep long. */
  get raw(): Uint8Array {
    return this.content.raw
  }

  get headers(): Headers {
    return this.content.headers
  }
}
