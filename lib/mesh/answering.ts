/** Answering: requests that came in, each accepted and handed to one subscription that responds, or refused at once. */
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import { MAX_CODE } from "./asking.ts"
import { OpenCall, timeIsOver } from "./call.ts"
import type { Coding } from "./codecs.ts"
import { decodeContent, encodeContent, type Content } from "./content.ts"
import type { Context } from "./context.ts"
import { MeshMessage, type ReplyOptions } from "./message.ts"
import type { Member } from "./member.ts"
import { msgpack } from "./msgpack.ts"
import type { Subscription } from "./subscription.ts"
import { FAILED, Kind, LAST, PART, numberAt, numbered, requestOf } from "./wire.ts"

/** Where an answer goes. */
export interface Answers {
  reply(content: Content, frames: readonly Uint8Array[]): void
  fail(code: string, text: string): void
}

/** Accepted and not answered, at a time. */
const MAX_CALLS = 65_536
/** Of these, from one member. */
const MAX_CALLS_EACH = 16_384
/** ms between two looks at who waits no longer, while there are as many as may be. */
const SWEEP = 1000

export class Answering {
  answered = 0
  refused = 0
  private readonly context: Context
  private readonly calls = new Map<Member, Map<number, OpenCall>>()
  private open = 0
  private swept = -Infinity
  /** Accepted in this turn. */
  private readonly unsaid: { readonly member: Member; readonly id: number; readonly call: OpenCall }[] = []
  /** Failures travel as MessagePack, whatever is the standard here. */
  private readonly errors: Coding
  /** The calls behind the messages that subscriptions hold. */
  private readonly behind = new WeakMap<MeshMessage, OpenCall>()

  constructor(context: Context) {
    this.context = context
    this.errors = context.codecs.coding(msgpack)
  }

  /** Accepted and not answered yet. */
  get size(): number {
    return this.open
  }

  callOf(message: MeshMessage): OpenCall | undefined {
    return this.behind.get(message)
  }

  onRequest(member: Member, message: Message): void {
    const head = message[0]!
    const id = numberAt(head, 2)
    const remaining = numberAt(head, 6)
    const { group, to } = requestOf(head)
    const content = decodeContent(message, 1, member.reading)
    let calls = this.calls.get(member)
    if (content.subject === "") throw new EarshotError("EPROTO", "a request without a subject")
    if (calls?.has(id) === true) throw new EarshotError("EPROTO", "a request with a number that is in use")
    if (this.context.relay.ask(member, message, content)) return
    // Who asks by way of a carrier doesn't know in which group we are.
    const subscription = this.choose(content.subject, to === undefined ? group : this.groupOf(content.subject))
    if (typeof subscription === "string") return this.refuse(member, id, subscription)
    if (calls !== undefined && calls.size >= MAX_CALLS_EACH) {
      this.sweep()
      return this.refuse(member, id, "BUSY")
    }
    const call = new OpenCall(this.context, content, member, remaining)
    if (calls === undefined) this.calls.set(member, (calls = new Map()))
    calls.set(id, call)
    this.open++
    this.accept(member, id, call)
    this.hand(subscription, content, call, {
      reply: (frames) => {
        if (!this.end(member, id)) return
        this.answered++
        this.send(member, [numbered(Kind.REPLY, 0, id), ...frames])
      },
      fail: (code, text) => {
        if (this.end(member, id)) this.send(member, this.failure(id, code, text))
      },
    })
  }

  /** Says it when the turn ends, unless the answer is on its way by then: one message less, and one write. */
  private accept(member: Member, id: number, call: OpenCall): void {
    if (this.unsaid.push({ member, id, call }) > 1) return
    this.context.clock.immediate(() => {
      for (const each of this.unsaid.splice(0))
        if (!each.call.answered) each.member.tell([numbered(Kind.ACCEPT, 0, each.id)])
    })
  }

  onCancel(member: Member, head: Uint8Array): void {
    const id = numberAt(head, 2)
    if (this.context.relay.cancel(member, id)) return
    const call = this.calls.get(member)?.get(id)
    if (call === undefined) return
    this.end(member, id)
    call.cancel(new EarshotError("ECANCELED", "the asker has given up"))
  }

  /** Nobody waits for these answers any more. */
  onGone(member: Member): void {
    this.drop(member, new EarshotError("PEER_LOST", "the asker is gone"))
  }

  private drop(member: Member, reason: EarshotError): void {
    const calls = this.calls.get(member)
    if (calls === undefined) return
    this.calls.delete(member)
    this.less(calls.size)
    for (const call of calls.values()) call.cancel(reason)
  }

  /** Nobody will get an answer any more. */
  close(): void {
    const reason = new EarshotError("EBADF", "the mesh is closed")
    for (const member of [...this.calls.keys()]) this.drop(member, reason)
  }

  /** A request to ourselves. Returns what cancels it. */
  askOwn(
    subject: string,
    frames: readonly Uint8Array[],
    group: string | undefined,
    remaining: number,
    answers: Answers,
  ): () => void {
    const { clock, self } = this.context
    const content = decodeContent(frames, 0, this.context.reading)
    const call = new OpenCall(this.context, content, self, remaining)
    let awaited = true
    let open = false
    const over = (): void => {
      awaited = false
      if (open) this.less(1)
      open = false
    }
    clock.microtask(() => {
      if (!awaited) return
      const subscription = this.choose(subject, group)
      if (typeof subscription === "string") return answers.fail(subscription, "")
      this.open++
      open = true
      this.hand(subscription, content, call, {
        reply: (answer) => {
          if (!awaited) return
          over()
          this.answered++
          // Never from inside the handler's own call.
          clock.microtask(() => answers.reply(decodeContent(answer, 0, this.context.reading), answer))
        },
        fail: (code, text) => {
          if (!awaited) return
          over()
          clock.microtask(() => answers.fail(code, text))
        },
      })
    })
    return () => {
      over()
      call.cancel(new EarshotError("ECANCELED", "the asker has given up"))
    }
  }

  /** An error of ours, or one that came from afar, as the content of a failed reply. */
  failed(error: unknown): Uint8Array[] {
    const { code, text } = failureOf(error)
    const { remoteCode = code } = Object(error) as { remoteCode?: unknown }
    return this.body(remoteCode, text)
  }

  /** One of the groups in which we answer that. */
  private groupOf(subject: string): string | undefined {
    const { servers } = this.context.routes.of(subject)
    return servers.find(({ parties }) => parties.includes(undefined))?.queue
  }

  private choose(subject: string, group: string | undefined): Subscription | "BUSY" | "NO_RESPONDERS" {
    const { local } = this.context
    const servers = local.servers(subject, group)
    if (servers.length === 0) return "NO_RESPONDERS"
    if (this.open >= MAX_CALLS) {
      this.sweep()
      return "BUSY"
    }
    const subscription = local.choose(servers, false) ?? servers.find(({ packed }) => !packed)
    return subscription === undefined || subscription.packed ? "BUSY" : subscription
  }

  private hand(
    subscription: Subscription,
    content: Content,
    call: OpenCall,
    answers: { reply(frames: Uint8Array[]): void; fail(code: string, text: string): void },
  ): void {
    const reply = (data: unknown, options: ReplyOptions = {}): void => {
      if (call.answered) return
      if (data instanceof Failure) {
        call.finish()
        return answers.fail(data.code, data.text)
      }
      const frames = encodeContent("", this.context.codecs.standard, data, options.headers)
      call.finish()
      answers.reply(frames)
    }
    const message = new MeshMessage(content, call.from, reply)
    this.behind.set(message, call)
    subscription.deliver(message)
  }

  private refuse(member: Member, id: number, code: string): void {
    this.refused++
    this.send(member, this.failure(id, code, ""))
  }

  /** A REPLY. One for which there is no room, or that is too large, becomes an error. */
  send(member: Member, message: Message): void {
    const { context } = this
    const head = message[0]!
    const instead = (code: string, text: string): Message =>
      this.failure(numberAt(head, 2), code, text, head[1]! & PART)
    if (context.interest.dirty) context.interest.flush()
    const posted = member.post(message)
    // An answer waits whatever the marks say: the asker bounds how many there are, and we their bytes.
    if (posted === "full")
      member.tellCounted(
        member.stuffed && !(head[1]! & LAST) ? instead("LIMIT", "too many answers wait to be read") : message,
      )
    else if (posted === "too-large") {
      context.drop("too-large", 1, 0, { member })
      member.tellCounted(instead("TOO_LARGE", "the answer is larger than the asker takes"))
    }
  }

  private failure(id: number, code: string, text: string, flags = 0): Message {
    return [numbered(Kind.REPLY, FAILED | flags, id), ...this.body(code, text)]
  }

  private body(code: unknown, message: string): Uint8Array[] {
    return encodeContent("", this.errors, { code, message })
  }

  /** False: nobody waits for it any more. */
  private end(member: Member, id: number): boolean {
    if (this.calls.get(member)?.delete(id) !== true) return false
    this.less(1)
    return true
  }

  /** Lets go of calls that nobody answered in time, and whose askers never said that they had given up. */
  private sweep(): void {
    const now = this.context.clock.now()
    if (now - this.swept < SWEEP) return
    this.swept = now
    for (const [member, calls] of this.calls)
      for (const [id, call] of calls)
        if (call.expired) {
          this.end(member, id)
          call.cancel(timeIsOver())
        }
  }

  private less(count: number): void {
    this.open -= count
    if (this.open === 0) this.context.onLess()
  }
}

/** What an answering handler gives instead of data when it failed. */
export class Failure {
  readonly code: string
  readonly text: string

  constructor(code: string, text: string) {
    this.code = code
    this.text = text
  }
}

/** The handler's error, as it may travel: its code and message, never its stack. Whatever was thrown, this does not throw. */
export function failureOf(error: unknown): Failure {
  try {
    const { code, message } = Object(error) as { code?: unknown; message?: unknown }
    return new Failure(
      typeof code === "string" && code.length <= MAX_CODE ? code : "REMOTE",
      typeof message === "string" ? message.slice(0, 4096) : String(error).slice(0, 4096),
    )
  } catch {
    return new Failure("REMOTE", "something was thrown that can't be told")
  }
}
