/** The ends of a socket's connections, as its events tell of them. */
import type { EarshotError } from "../../../lib/index.ts"
import type { Socket } from "../../../lib/socket.ts"

export interface End {
  /** The peer's, or the endpoint that was dialled. */
  readonly address: string
  readonly event: "handshake" | "disconnect"
  readonly error: EarshotError | undefined
}

export class Ends {
  private readonly ends: End[] = []
  private readonly waiting = new Set<() => void>()

  constructor({ events }: Socket) {
    const note = (end: End): void => {
      this.ends.push(end)
      for (const look of this.waiting) look()
    }
    for (const kind of ["protocol", "auth", "other"] as const)
      events.on(`handshake:error:${kind}`, ({ address, error }) => note({ address, event: "handshake", error }))
    events.on("disconnect", ({ address, error }) => note({ address, event: "disconnect", error }))
  }

  /** All so far that concern the address, or all; they are forgotten. */
  take(address?: string): End[] {
    const taken = this.ends.filter((end) => address === undefined || end.address === address)
    for (const end of taken) this.ends.splice(this.ends.indexOf(end), 1)
    return taken
  }

  /** The end of the connection, which comes within `ms`. */
  next(address: string, ms = 10_000): Promise<End> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const [end] = this.take(address)
        if (end === undefined) return
        clearTimeout(timer)
        this.waiting.delete(look)
        resolve(end)
      }
      const timer = setTimeout(() => {
        this.waiting.delete(look)
        reject(new Error(`no event tells of the end of ${address}`))
      }, ms)
      this.waiting.add(look)
      look()
    })
  }
}
