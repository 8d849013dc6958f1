// The programs a run consists of: started, listened to, bounded in time, and ended by their own process id.
import { spawn } from "node:child_process"
import { basename } from "node:path"
import { createInterface } from "node:readline"

/** A side that is not there: its rows name it as missing and the run goes on. */
export class Missing extends Error {}

const ANSWER_MS = 60_000
const END_MS = 30_000

const running = new Set()

export function killAll() {
  for (const child of running) child.kill()
}

process.on("exit", killAll)
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(130))

export class Child {
  /** Milliseconds that `stop` waits for an orderly end. */
  static grace = 0

  #process
  #lines = []
  #wake = () => {}
  #errors = ""
  #ended
  #failed

  constructor(command, args, options = {}) {
    this.name = args.map((word) => basename(word)).join(" ")
    this.#process = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], ...options })
    this.#process.stdin.on("error", () => {})
    this.#process.stderr.setEncoding("utf8").on("data", (text) => (this.#errors = (this.#errors + text).slice(-2000)))
    createInterface({ input: this.#process.stdout }).on("line", (line) => {
      this.#lines.push(line)
      this.#wake()
    })
    running.add(this)
    this.#ended = new Promise((resolve) => {
      this.#process.on("error", (error) => (this.#errors += error.message))
      this.#process.on("close", (code, signal) => {
        running.delete(this)
        this.code = code ?? signal ?? "not started"
        resolve()
        this.#wake()
      })
    })
    this.#failed = this.#ended.then(() => {
      if (this.code !== 0) throw this.#failure()
      return new Promise(() => {})
    })
    this.#failed.catch(() => {})
  }

  #failure() {
    const lines = this.#errors.trim().split("\n")
    return new Error(
      `${this.name} ended with ${this.code}: ${lines.find((line) => /^\w*Error/.test(line)) ?? lines[0]}`,
    )
  }

  get pid() {
    return this.#process.pid
  }

  /** The next answer. Rejects when the child ends before it, a partner fails, or it takes longer than a minute. */
  async answer(...partners) {
    const late = Date.now() + ANSWER_MS
    while (this.#lines.length === 0) {
      if (this.code !== undefined) throw this.#failure()
      const left = late - Date.now()
      if (left <= 0) throw new Error(`${this.name} gave no answer in ${ANSWER_MS / 1000} s`)
      await Promise.race([this.#news(left), ...partners.map((partner) => partner.#failed)])
    }
    const answer = JSON.parse(this.#lines.shift())
    if (answer.missing !== undefined) throw new Missing(answer.missing)
    return answer
  }

  #news(timeout) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeout)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** Rejects when it ends with anything but 0; else stays pending. */
  get failed() {
    return this.#failed
  }

  order(line) {
    this.#process.stdin.write(`${line}\n`)
  }

  /** Waits for the orderly end and complains about any other. */
  async end() {
    this.#process.stdin.end()
    const timer = setTimeout(() => this.kill(), END_MS)
    await this.#ended
    clearTimeout(timer)
    if (this.code !== 0) throw this.#failure()
  }

  /** Ends it now, whatever it does; a profiled one gets the time to write its profile. */
  async stop() {
    if (Child.grace === 0) this.kill()
    this.#process.stdin.end()
    const timer = setTimeout(() => this.kill(), Child.grace)
    await this.#ended
    clearTimeout(timer)
  }

  kill() {
    if (this.code === undefined) this.#process.kill("SIGKILL")
  }
}
