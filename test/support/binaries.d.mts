type Kind = "node" | "bun" | "deno"
export const runtimes: readonly { readonly name: string; readonly kind: Kind; readonly version: string }[]
export function find(kind: "bun" | "deno"): string | undefined
export function obtain(kind: Kind, version: string): string
