/** One question to several at a time: of each choice one is asked, and where that one refuses, another. */
import type { EarshotError } from "../errors.ts"
import type { Pending, Server } from "./asking.ts"
import type { Content } from "./content.ts"
import type { Context } from "./context.ts"
import type { MemberInfo } from "./events.ts"
import { choose } from "./one-request.ts"

/** Who is asked first, and who else may be. */
export interface Choice {
  readonly first: Server
  readonly others: readonly Server[]
}

/** What one of them said. */
export interface Said {
  readonly answer: Content | EarshotError
  readonly from: MemberInfo
  /** As it said it, where it did. */
  readonly frames: readonly Uint8Array[] | undefined
}

export interface Inquirer {
  readonly subject: string
  readonly frames: readonly Uint8Array[]
  /** Carriers are to ask all who are in no group. */
  readonly many: boolean
  /** ms that are left, 0 for no limit. */
  remaining(): number
  /** `last`: nothing follows. `said` is undefined where it turns out then that nothing was to follow. */
  onSaid(said: Said | undefined, last: boolean): void
}

/** Of each list one who can be asked now; none of those where nobody can. */
export function choicesOf(context: Context, lists: readonly (readonly Server[])[]): Choice[] {
  const choices: Choice[] = []
  for (const servers of lists) {
    const first = choose(context, servers)
    if (first !== undefined) choices.push({ first, others: servers.filter((each) => each !== first) })
  }
  return choices
}

export class Inquiry {
  private readonly context: Context
  private readonly inquirer: Inquirer
  private readonly pending = new Set<Pending>()
  /** Of so many choices nobody has said the last word. */
  private left: number

  constructor(context: Context, inquirer: Inquirer, choices: readonly Choice[]) {
    this.context = context
    this.inquirer = inquirer
    this.left = choices.length
    for (const choice of choices) this.ask(choice)
  }

  /** Nobody wants to know any more. */
  takeBack(): void {
    this.left = 0
    for (const each of this.pending) this.context.asking.takeBack(each)
  }

  private ask({ first, others }: Choice): void {
    const { context, inquirer } = this
    const { subject, frames, many } = inquirer
    const whom = first.party ?? context.self
    const pending = context.asking.ask(first, subject, frames, inquirer.remaining(), false, {
      resolve: (answer, from, frames) => this.end({ answer, from, frames }),
      reject: (error, frames) => this.end({ answer: error as EarshotError, from: whom, frames }),
      refuse: (error) => {
        const [next] = this.left > 0 ? choicesOf(context, [others]) : []
        if (next === undefined) this.end({ answer: error, from: whom, frames: undefined })
        else this.ask(next)
      },
      ...(many &&
        first.queue === undefined && {
          many: {
            part: (answer, from, frames) => inquirer.onSaid({ answer, from, frames }, false),
            end: () => this.end(undefined),
          },
        }),
    })
    if (pending !== undefined) this.pending.add(pending)
  }

  private end(said: Said | undefined): void {
    if (this.left === 0) return
    this.left--
    if (said !== undefined || this.left === 0) this.inquirer.onSaid(said, this.left === 0)
  }
}
