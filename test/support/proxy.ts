/** A TCP proxy on loopback that is slow, or goes silent as a cut cable does: neither side hears of it. */
import { once } from "node:events"
import * as net from "node:net"
import type { Test } from "tap"

/** How often the rate's allowance is given out, in ms. */
const TICK = 20

export class Proxy {
  /** Connections made through it. */
  connections = 0
  /** Bytes a second, in each direction and connection. */
  rate = Infinity
  private silent = false
  private readonly server: net.Server
  private readonly sockets = new Set<net.Socket>()
  private readonly pumps = new Set<() => void>()

  private constructor(target: string) {
    const port = Number(target.split(":").at(-1))
    this.server = net.createServer({ allowHalfOpen: true }, (near) => {
      this.connections++
      const far = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })
      this.join(near, far)
      this.join(far, near)
    })
  }

  /** In front of a tcp endpoint. */
  static async start(t: Test, target: string): Promise<Proxy> {
    const proxy = new Proxy(target)
    proxy.server.listen(0, "127.0.0.1")
    await once(proxy.server, "listening")
    const ticks = setInterval(() => {
      for (const pump of proxy.pumps) pump()
    }, TICK)
    t.teardown(() => {
      clearInterval(ticks)
      proxy.server.close()
      for (const socket of proxy.sockets) socket.destroy()
    })
    return proxy
  }

  get endpoint(): string {
    return `tcp://127.0.0.1:${(this.server.address() as net.AddressInfo).port}`
  }

  /** Nothing is forwarded any more, on connections there are; new ones work. */
  cut(): void {
    for (const socket of this.sockets) socket.pause()
    this.pumps.clear()
  }

  /** New connections are taken and nothing is forwarded on them, either. */
  mute(on: boolean): void {
    this.silent = on
    if (on) this.cut()
  }

  private join(from: net.Socket, to: net.Socket): void {
    const waiting: Buffer[] = []
    let allowance = 0
    let ended = false
    const pump = (): void => {
      allowance = Math.min(this.rate, allowance + (this.rate * TICK) / 1000)
      while (waiting.length > 0 && allowance >= 1) {
        const chunk = waiting.shift()!
        const part = chunk.subarray(0, allowance)
        if (part.length < chunk.length) waiting.unshift(chunk.subarray(part.length))
        allowance -= part.length
        to.write(part)
      }
      if (waiting.length > 0) return
      if (ended) to.end()
      else from.resume()
    }
    this.sockets.add(from)
    from.setNoDelay(true)
    from.on("error", () => to.destroy())
    from.on("close", () => {
      this.sockets.delete(from)
      this.pumps.delete(pump)
      if (this.silent) to.destroy()
    })
    if (this.silent) return
    this.pumps.add(pump)
    from.on("data", (chunk) => {
      if (this.rate === Infinity) return void to.write(chunk)
      waiting.push(chunk)
      from.pause()
    })
    from.on("end", () => {
      ended = true
      if (waiting.length === 0) to.end()
    })
  }
}
