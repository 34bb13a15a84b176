/**
 * POSIX extended regular expressions, as the C library takes them in the C locale: each character is a byte, and is
 * written as one code unit here. They are translated for RE2, which finds in linear time whatever the expression.
 *
 * @internal
 */
import * as Either from "effect/Either"

const classes: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  blank: " \\t",
  cntrl: "\\x00-\\x1f\\x7f",
  digit: "0-9",
  graph: "!-~",
  lower: "a-z",
  print: " -~",
  punct: "!-\\/:-@\\[-`{-~",
  space: "\\t-\\r ",
  upper: "A-Z",
  xdigit: "0-9A-Fa-f"
}

/** What the C library adds to the standard. RE2 knows no difference between the beginning and the end of a word. */
const escapes: Readonly<Record<string, string>> = {
  "'": "\\z",
  "<": "\\b",
  ">": "\\b",
  B: "\\B",
  S: "[^\\t-\\r ]",
  W: "[^0-9A-Za-z_]",
  "`": "\\A",
  b: "\\b",
  s: "[\\t-\\r ]",
  w: "[0-9A-Za-z_]"
}

const assertions = "<>Bb'`"

/** The most that RE2 repeats. */
const mostRepeats = 1000

/** How many pieces there may be, each as often as it is repeated: compiling takes some 20 microseconds for each. */
const mostPieces = 2000

const literal = (character: string): string => `\\x{${character.charCodeAt(0).toString(16)}}`

class Issue {
  constructor(readonly text: string) {}
}

const fail = (text: string): never => {
  throw new Issue(text)
}

/**
 * The same expression for RE2; or what is wrong with it.
 *
 * @internal
 */
export const toRe2 = (pattern: string): Either.Either<string, string> => {
  let at = 0
  let pieces = 0
  const add = (count: number): void => {
    pieces += count
    if (pieces > mostPieces) fail(`it has more than ${mostPieces} pieces, each counted as often as it is repeated`)
  }
  const peek = (): string => pattern.charAt(at)
  const isAt = (text: string): boolean => pattern.startsWith(text, at)

  const alternatives = (depth: number): string => {
    const branches: Array<string> = []
    do {
      add(1)
      branches.push(branch(depth))
    } while (isAt("|") && ++at > 0)
    return branches.join("|")
  }

  const branch = (depth: number): string => {
    let out = ""
    while (at < pattern.length && !isAt("|") && !(depth > 0 && isAt(")"))) out += piece(depth)
    return out
  }

  const piece = (depth: number): string => {
    const start = at
    const before = pieces
    const character = peek()
    at++
    add(1)
    switch (character) {
      case "*":
      case "+":
      case "?":
      case "{":
        return fail(`${JSON.stringify(character)} at ${start} repeats nothing`)
      // These are no pieces that could be repeated, so what follows stands at a beginning.
      case "^":
        return "\\A"
      case "$":
        return "\\z"
      case "\\":
        return escape(before)
      case "[":
        return repeated(bracket(), before)
      case ".":
        return repeated("[\\x00-\\x{ff}]", before)
      case "(":
        return repeated(group(depth + 1), before)
      default:
        return repeated(literal(character), before)
    }
  }

  const escape = (before: number): string => {
    const character = peek()
    if (character === "") return fail("it ends in a backslash")
    at++
    if (/[1-9]/.test(character)) return fail("references to groups are not supported, as they take exponential time")
    const known = Object.hasOwn(escapes, character) ? escapes[character] : undefined
    if (known === undefined) return repeated(literal(character), before)
    return assertions.includes(character) ? known : repeated(known, before)
  }

  const group = (depth: number): string => {
    if (depth > 200) return fail("it is nested more than 200 deep")
    const start = at
    const inner = alternatives(depth)
    if (!isAt(")")) return fail(`the parenthesis at ${start - 1} is not closed`)
    at++
    return `(?:${inner})`
  }

  /** Repeats of repeats are written with groups: RE2 takes `a+?` for something else. */
  const repeated = (atom: string, before: number): string => {
    let out = atom
    for (;;) {
      const character = peek()
      if (character === "*" || character === "+" || character === "?") {
        at++
        add(1)
        out = `(?:${out})${character}`
      } else if (character === "{") {
        const { text, times } = interval()
        add((pieces - before) * (times - 1))
        out = `(?:${out})${text}`
      } else {
        return out
      }
    }
  }

  const interval = (): { readonly text: string; readonly times: number } => {
    const found = /^\{(\d*)(,?)(\d*)\}/.exec(pattern.slice(at, at + 32))
    if (found === null || found[0] === "{}") return fail(`the interval at ${at} is not valid`)
    at += found[0].length
    const [, first, comma, last] = found
    const least = first === "" ? 0 : Number(first)
    const most = comma === "" ? least : last === "" ? undefined : Number(last)
    if (least > mostRepeats || (most !== undefined && (most > mostRepeats || most < least))) {
      return fail(`the interval ${found[0]} is not within 0 to ${mostRepeats}, or ends before it begins`)
    }
    return { text: `{${least},${most ?? ""}}`, times: Math.max(1, most ?? least + 1) }
  }

  const bracket = (): string => {
    const start = at - 1
    const unclosed = () => fail(`the bracket at ${start} is not closed`)
    const negated = isAt("^")
    if (negated) at++
    let out = ""
    for (let first = true; first || !isAt("]"); first = false) {
      if (at >= pattern.length) return unclosed()
      if (isAt("[:")) {
        const end = pattern.indexOf(":]", at + 2)
        const name = pattern.slice(at + 2, end)
        if (end < 0 || !Object.hasOwn(classes, name)) return fail(`there is no class [:${end < 0 ? "" : name}:]`)
        out += classes[name]
        at = end + 2
        continue
      }
      const from = element() ?? unclosed()
      if (isAt("-") && pattern.charAt(at + 1) !== "]" && at + 1 < pattern.length) {
        at++
        if (isAt("[:")) return fail("a range does not end in a class")
        const to = element() ?? unclosed()
        if (to < from) return fail(`the range at ${at} ends before it begins`)
        out += `${literal(from)}-${literal(to)}`
      } else {
        out += literal(from)
      }
    }
    at++
    return `[${negated ? "^" : ""}${out}]`
  }

  /** One character of a bracket, also as `[.x.]` or `[=x=]`. */
  const element = (): string | undefined => {
    const named = /^\[([.=])([^])\1\]/.exec(pattern.slice(at, at + 5))
    if (named !== null) {
      at += 5
      return named[2]
    }
    if (isAt("[.") || isAt("[=")) return fail(`there is no such element at ${at}`)
    const character = peek()
    at++
    return character === "" ? undefined : character
  }

  try {
    return Either.right(alternatives(0))
  } catch (issue) {
    if (issue instanceof Issue) return Either.left(issue.text)
    throw issue
  }
}
