/** What a stranger sent, fit for a log: printable ASCII, at most so many characters. */
export function plain(text: string, most: number = 200): string {
  const clean = text.replace(/[^\x20-\x7e]+/g, "?")
  return clean.length > most ? `${clean.slice(0, most)}...` : clean
}
