/** What others call themselves and say, fit for a log: one line of it can't pass for two, nor turn the writing around. */

/** Control characters, marks without a shape, line separators, halves of pairs. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** At most `longest` characters, each of which is seen: U+FFFD stands for the others. */
export function printable(text: string, longest = 1024): string {
  return text.slice(0, longest).replaceAll(UNSEEN, "\ufffd")
}

export function isPrintable(text: string): boolean {
  return text.search(UNSEEN) < 0
}
