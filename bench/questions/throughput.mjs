// How many messages a second go through one PUSH and one PULL in two processes?
import { start } from "../support/sides.mjs"

const sizes = [
  { label: "16 B", size: 16, quick: true, marks: { await: { least: 0.6, ambition: 1 }, callback: { least: 1.3 } } },
  { label: "64 B", size: 64, quick: true, marks: { callback: { least: 1.15, ambition: 1.5 } } },
  { label: "1 KB", size: 1024, quick: true, marks: { await: { least: 1 } } },
  { label: "64 KB", size: 65_536, quick: true, marks: { await: { least: 1 } } },
  { label: "1 MB", size: 1_048_576, marks: {} },
]

const modes = { await: "for await", callback: "callback", fresh: "callback, new buffers" }

export const WARM_SECONDS = 0.25

export function throughput({ seconds }) {
  return sizes.map(({ label, size, quick, marks }) => {
    const name = `push/pull ${label}`
    const row = (mode, theirs, more = {}) => ({
      name: `${name}, ${modes[mode]}`,
      ours: `earshot:${mode}`,
      theirs,
      figure: "rate",
      unit: "msg/s",
      ...more,
    })
    const large = size >= 65_536
    return {
      name,
      // Who is compared with whom stands side by side.
      sides: [
        "zeromq",
        "earshot:await",
        "libzmq:new",
        "earshot:callback",
        "earshot:fresh",
        ...(large ? ["net", "libzmq:constant"] : []),
        "ws",
      ],
      rows: [
        row("await", "libzmq:new", { mark: marks.await, quick }),
        row("callback", "libzmq:new", { mark: marks.callback, quick }),
        row("fresh", "libzmq:new"),
        row("await", "zeromq", size === 16 ? { mark: { least: 10 }, quick } : {}),
        ...(large
          ? [row("callback", "net"), row("callback", "libzmq:constant", { rival: "libzmq C, send_const" })]
          : []),
        ...(size === 1_048_576 ? [] : [row("callback", "ws")]),
      ],
      run: (side, mode, total = guess(side, size)) => stream(side, mode, total, seconds, { size }),
      size: ({ rate }) => Math.ceil(rate * (seconds + WARM_SECONDS)),
    }
  })
}

/** Of the first run, which isn't counted. */
function guess(side, size) {
  return Math.ceil(Math.min(side === "zeromq" || side === "ws" ? 50_000 : 1_000_000, 1e9 / size))
}

/** One run from a PUSH to a PULL; `args` for both of them. */
export async function stream(side, mode = "await", total, seconds, args) {
  const warm = Math.ceil((total * WARM_SECONDS) / (seconds + WARM_SECONDS))
  const pull = start(side, "pull", { ...args, warm, total, mode })
  let push
  try {
    const { endpoint } = await pull.answer()
    push = start(side, "push", { ...args, total, mode, endpoint })
    const result = await pull.answer(push)
    if (result.count !== total) throw new Error(`${result.count} messages of ${total} arrived`)
    await Promise.all([push.end(), pull.end()])
    return { rate: (total - warm) / result.seconds }
  } finally {
    await Promise.all([push?.stop(), pull.stop()])
  }
}
