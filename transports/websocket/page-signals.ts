/**
 * What a page, or a worker, learns of itself and its network: when to dial at once, when to doubt connections, when to
 * leave. Everything is looked for before it is used, and not before somebody asks: importing this touches nothing.
 *
 *   online, visible again                    dial at once; doubt every link: an open WebSocket proves nothing after sleep
 *   pageshow from the back-forward cache     the same
 *   a timer late by 3 s                      doubt every link: the machine has slept, or the page was frozen
 *   nothing heard for two of the server's    doubt that link
 *     PINGs, 10 s apart
 *   pagehide                                 end every link: the page may never run again, nor be kept with an open one
 */
import type { Clock } from "../../lib/clock.ts"

/** A link that the signals concern. */
export interface Watched {
  readonly clock: Clock
  /** When the last byte came, by the clock's `now`. */
  readonly heard: number
  doubt(): void
  leave(): void
}

interface Target {
  addEventListener?(type: string, listener: (event: { readonly persisted?: boolean }) => void): void
  removeEventListener?(type: string, listener: (event: { readonly persisted?: boolean }) => void): void
}

const TICK = 1000
const LATE = 3000
const OVERDUE = 20_000

export class PageSignals {
  private readonly links = new Set<Watched>()
  private readonly listeners = new Set<() => void>()
  private listening = false
  private ticking = false

  add(link: Watched): void {
    this.links.add(link)
    this.listen()
    if (!this.ticking) this.tick(link.clock)
  }

  delete(link: Watched): void {
    this.links.delete(link)
    this.listen()
  }

  /** As `Transport.onNudge`. */
  readonly onNudge = (listener: () => void): (() => void) => {
    const own = (): void => listener()
    this.listeners.add(own)
    this.listen()
    return () => {
      this.listeners.delete(own)
      this.listen()
    }
  }

  /** Hears the page for as long as anybody is interested. */
  private listen(): void {
    const wanted = this.links.size + this.listeners.size > 0
    if (wanted === this.listening) return
    this.listening = wanted
    const page = globalThis as Target & { document?: Target }
    const how = wanted ? "addEventListener" : "removeEventListener"
    page[how]?.("online", this.onBack)
    page[how]?.("pageshow", this.onShow)
    page[how]?.("pagehide", this.onHide)
    page.document?.[how]?.("visibilitychange", this.onVisibility)
  }

  private readonly onBack = (): void => {
    this.doubtAll()
    for (const listener of this.listeners) listener()
  }

  private readonly onShow = ({ persisted }: { readonly persisted?: boolean }): void => {
    if (persisted === true) this.onBack()
  }

  private readonly onVisibility = (): void => {
    const { document } = globalThis as { document?: { visibilityState?: string } }
    if (document?.visibilityState === "visible") this.onBack()
  }

  private readonly onHide = (): void => {
    for (const link of this.links) link.leave()
  }

  private doubtAll(): void {
    for (const link of this.links) link.doubt()
  }

  /** By both clocks: that of `now` stands still while some machines sleep. */
  private tick(clock: Clock): void {
    this.ticking = this.links.size > 0
    if (!this.ticking) return
    const now = clock.now()
    const wall = clock.wall()
    clock.timeout(() => {
      const late = Math.max(clock.now() - now, clock.wall() - wall) - TICK
      for (const link of this.links) if (late > LATE || link.clock.now() - link.heard > OVERDUE) link.doubt()
      this.tick(clock)
    }, TICK)
  }
}
