/** A discovery that asks the same questions again and again: what `seeds()` and `dns()` have in common. */
import { Backoff } from "../../backoff.ts"
import type { Timer } from "../../clock.ts"
import type { Candidate, Discovery, DiscoveryHost, Finding } from "../contract.ts"

/** ms between two rounds: while nobody is linked, and else (a random time between the two, so that not all ask together). */
const LONELY = 500
const AT_LEAST = 4000
const AT_MOST = 5000
/** For a leaf that is alone: a random time up to the first, doubled each time up to the second. Thousands may have lost one carrier. */
const LEAF_FIRST = 250
const LEAF_LONGEST = 5000

/** ms that the first round may take before `start` resolves without it; its answers count all the same. */
const FIRST_ROUND = 1000

/** ms between two rounds that were asked for. */
const SOON = 100

/** Addresses that one answer may name. */
const MOST_CANDIDATES = 1024

/** One question. */
export interface Question {
  /** Rejects when there is no answer. Asked again only when it has settled. */
  ask(): Promise<readonly Candidate[]>
  /** Gives up, so that what is under way rejects soon. */
  cancel?(): void
  /** What to tell of a rejection. */
  finding(error: unknown): Finding
}

/** Asks all questions every 4 to 5 s, sooner while nobody is linked, and at once when nudged. */
export class Asking implements Discovery {
  readonly name: string
  private readonly questions: readonly Question[]
  private readonly open = new Set<Question>()
  private host: DiscoveryHost | undefined
  private backoff: Backoff | undefined
  private timer: Timer | undefined
  private last = -Infinity

  constructor(name: string, questions: readonly Question[]) {
    this.name = name
    this.questions = questions
  }

  start(host: DiscoveryHost): Promise<void> {
    this.host = host
    return new Promise((resolve) => {
      const late = host.clock.timeout(resolve, FIRST_ROUND)
      void this.round().then(() => {
        late.cancel()
        resolve()
      })
    })
  }

  nudge(): void {
    const { host } = this
    if (host === undefined) return
    this.timer?.cancel()
    this.backoff?.reset()
    const wait = this.last + SOON - host.clock.now()
    if (wait <= 0) void this.round()
    else this.timer = host.clock.timeout(() => void this.round(), wait)
  }

  async stop(): Promise<void> {
    this.timer?.cancel()
    this.host = undefined
    for (const question of this.open) question.cancel?.()
  }

  private async round(): Promise<void> {
    const { host } = this
    if (host === undefined) return
    this.last = host.clock.now()
    this.timer?.cancel()
    this.timer = host.clock.timeout(() => void this.round(), this.pause(host))
    await Promise.all(this.questions.filter((question) => !this.open.has(question)).map((one) => this.ask(one)))
  }

  private pause({ clock, linked, self }: DiscoveryHost): number {
    if (linked > 0) {
      this.backoff = undefined
      return AT_LEAST + clock.random() * (AT_MOST - AT_LEAST)
    }
    if (self.endpoints.length > 0) return LONELY
    this.backoff ??= new Backoff(clock, LEAF_FIRST, LEAF_LONGEST, true)
    return Math.max(SOON, this.backoff.next(false))
  }

  private async ask(question: Question): Promise<void> {
    this.open.add(question)
    try {
      const candidates = await question.ask()
      for (const candidate of candidates.slice(0, MOST_CANDIDATES)) this.host?.found(candidate)
    } catch (error) {
      this.host?.note(question.finding(error))
    } finally {
      this.open.delete(question)
    }
  }
}
