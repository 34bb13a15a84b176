/**
 * Patterns for URLs, matched in time that grows with the lengths of pattern and text only.
 *
 * @internal
 */

/** A character, or anything that has none of some characters in it. */
type Token = string | { readonly without: string }

const tokensOf = (pattern: string, without: string): ReadonlyArray<Token> =>
  pattern.split(/(\*+)/).flatMap((piece): ReadonlyArray<Token> =>
    piece.startsWith("*") ? [{ without: piece === "*" ? without : "" }] : [...piece]
  )

/** Where in the pattern one may be after each character of the text. */
const matches = (tokens: ReadonlyArray<Token>, text: string): boolean => {
  let at = skipping(tokens, new Set([0]))
  for (const char of text) {
    const next = new Set<number>()
    for (const i of at) {
      const token = tokens[i]
      if (token === char) next.add(i + 1)
      else if (typeof token === "object" && !token.without.includes(char)) next.add(i)
    }
    if (next.size === 0) return false
    at = skipping(tokens, next)
  }
  return at.has(tokens.length)
}

/** What may be anything may be nothing. A set grows while it is walked. */
const skipping = (tokens: ReadonlyArray<Token>, at: Set<number>): Set<number> => {
  for (const i of at) if (typeof tokens[i] === "object") at.add(i + 1)
  return at
}

/**
 * A pattern for scheme, host and path, and for the query if it has one: `*` is anything without `/`, and in a host
 * without `.`; `**` is anything.
 *
 * @internal
 */
export const glob = (pattern: string): (url: URL) => boolean => {
  const [, scheme = "*", host = "", path = ""] = /^(?:([^:/?]+):\/\/)?([^/?]*)(.*)$/s.exec(pattern) ?? []
  const schemes = tokensOf(scheme.toLowerCase(), "")
  const hosts = tokensOf(host === "" ? "**" : host.toLowerCase(), ".")
  const paths = tokensOf(path === "" ? "/**" : path.startsWith("?") ? `/${path}` : path, "/?")
  const hasQuery = path.includes("?")
  return (url) =>
    matches(schemes, url.protocol.slice(0, -1)) && matches(hosts, url.host) &&
    matches(paths, hasQuery ? url.pathname + url.search : url.pathname)
}
