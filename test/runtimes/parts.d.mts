export const parts: Readonly<Record<string, readonly string[]>>
export interface Lack {
  readonly runtime: string
  readonly file?: string
  readonly part?: string
  readonly tests?: readonly string[]
  readonly what: string
  readonly why: string
}
export const lacks: readonly Lack[]
