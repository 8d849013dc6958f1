// Counts what a page receives, as its address asks (`size`, `warm`, `total`), and leaves the result where the bench looks.

export function tally() {
  const args = new URLSearchParams(location.search)
  const [size, warm, total] = ["size", "warm", "total"].map((name) => Number(args.get(name)))
  let count = 0
  let start = 0
  return (length) => {
    if (length !== size) throw new Error(`a message of ${length} bytes instead of ${size}`)
    if (++count === warm) start = performance.now()
    if (count === total) globalThis.result = { count, seconds: (performance.now() - start) / 1000 }
  }
}
