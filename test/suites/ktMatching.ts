/** What KtCompat promises of matching keys. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect } from "effect"
import { KtCompat } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import { bytes, failsWith, hex, ktError, latin1, testOn, unhex } from "../ktCompat.js"

const all = [
  "",
  "1",
  "A1",
  "a",
  "a b",
  "a.b",
  "a1",
  "aaa",
  "ab",
  "abcabc",
  "b",
  "d",
  "foo",
  "foo_bar",
  "k-2",
  "x{2}",
  "é"
]

/** Expressions, and which of these keys they are found in: as `regcomp` and `regexec` of the C library have it. */
const expressions: ReadonlyArray<readonly [expression: string, found: ReadonlyArray<string>]> = [
  ["", all],
  ["a", ["a", "a b", "a.b", "a1", "aaa", "ab", "abcabc", "foo_bar"]],
  ["^a", ["a", "a b", "a.b", "a1", "aaa", "ab", "abcabc"]],
  ["a$", ["a", "aaa"]],
  ["^a$", ["a"]],
  ["^$", [""]],
  ["^", all],
  ["$", all],
  ["b|^1", ["1", "a b", "a.b", "ab", "abcabc", "b", "foo_bar"]],
  ["a|b|", all],
  ["(a|b)+$", ["a", "a b", "a.b", "aaa", "ab", "b"]],
  ["(ab|c)*$", all],
  ["(abc){2}", ["abcabc"]],
  ["a{2}", ["aaa"]],
  ["a{2,}", ["aaa"]],
  ["a{3,3}", ["aaa"]],
  ["^a{0,1}$", ["", "a"]],
  ["^a{,2}$", ["", "a"]],
  ["^a{,}$", ["", "a", "aaa"]],
  ["a**", all],
  ["a+?$", all],
  ["^(a?)?$", ["", "a"]],
  ["()", all],
  ["(|x)1", ["1", "A1", "a1"]],
  ["a.b", ["a b", "a.b"]],
  ["a\\.b", ["a.b"]],
  ["[.]", ["a.b"]],
  ["\\d", ["d"]],
  ["\\n", []],
  ["\\{2\\}", ["x{2}"]],
  ["x[{]2}", ["x{2}"]],
  ["[0-9]", ["1", "A1", "a1", "k-2", "x{2}"]],
  ["[[:digit:]]", ["1", "A1", "a1", "k-2", "x{2}"]],
  ["[^[:alnum:]]", ["a b", "a.b", "foo_bar", "k-2", "x{2}", "é"]],
  ["[[:upper:][:digit:]]", ["1", "A1", "a1", "k-2", "x{2}"]],
  ["[[:punct:]]", ["a.b", "foo_bar", "k-2", "x{2}"]],
  ["[[:space:]]", ["a b"]],
  ["[[:blank:]b]$", ["a b", "a.b", "ab", "b"]],
  ["[[:xdigit:]]{3}", ["aaa", "abcabc"]],
  ["^[[:lower:]]*$", ["", "a", "aaa", "ab", "abcabc", "b", "d", "foo"]],
  ["[[:graph:]]{7}", ["foo_bar"]],
  ["[[:cntrl:]]", []],
  ["[[:print:]]$", [
    "1",
    "A1",
    "a",
    "a b",
    "a.b",
    "a1",
    "aaa",
    "ab",
    "abcabc",
    "b",
    "d",
    "foo",
    "foo_bar",
    "k-2",
    "x{2}"
  ]],
  ["[]{]", ["x{2}"]],
  ["[^]a]", ["1", "A1", "a b", "a.b", "a1", "ab", "abcabc", "b", "d", "foo", "foo_bar", "k-2", "x{2}", "é"]],
  ["[a-]", ["a", "a b", "a.b", "a1", "aaa", "ab", "abcabc", "foo_bar", "k-2"]],
  ["[-2]$", ["k-2"]],
  ["[\\d]", ["d"]],
  ["[a\\]", ["a", "a b", "a.b", "a1", "aaa", "ab", "abcabc", "foo_bar"]],
  ["[[.a.]]1", ["a1"]],
  ["[[=b=]]", ["a b", "a.b", "ab", "abcabc", "b", "foo_bar"]],
  ["[[.-.]]", ["k-2"]],
  ["\\w+\\b", ["1", "A1", "a", "a b", "a.b", "a1", "aaa", "ab", "abcabc", "b", "d", "foo", "foo_bar", "k-2", "x{2}"]],
  ["\\W", ["a b", "a.b", "k-2", "x{2}", "é"]],
  ["\\s", ["a b"]],
  ["^\\S+$", ["1", "A1", "a", "a.b", "a1", "aaa", "ab", "abcabc", "b", "d", "foo", "foo_bar", "k-2", "x{2}", "é"]],
  ["o\\b", ["foo"]],
  ["o\\B", ["foo", "foo_bar"]],
  ["\\<b", ["a b", "a.b", "b"]],
  ["a\\>", ["a", "a b", "a.b", "aaa"]],
  ["\\`a\\'", ["a"]],
  ["a)", []],
  ["x{2}$", []],
  ["^.{3}$", ["a b", "a.b", "aaa", "foo", "k-2"]],
  ["^.{2}$", ["A1", "a1", "ab", "é"]],
  ["a^b", []],
  ["a$b", []],
  ["(^a|b$)", ["a", "a b", "a.b", "a1", "aaa", "ab", "abcabc", "b"]],
  ["((((a))))1", ["a1"]],
  ["[^\n]{7}", ["foo_bar"]],
  ["_", ["foo_bar"]]
]

/** What does not compile there. */
const refused = [
  "(?:a)",
  "(?i)A",
  "^*",
  "a|*b",
  "(*a)",
  "+a",
  "?",
  "{1}",
  "a{2",
  "a{2,1}",
  "a{x}",
  "a{1,2,3}",
  "(",
  "(a",
  "((a)",
  "[",
  "[a",
  "[]",
  "[b-a]",
  "[[:foo:]]",
  "[[.ab.]]",
  "[[:alpha:",
  "\\",
  "a\\"
]

/** Those that take exponential time, or nearly so, where an expression is tried in every way. */
const pathological = [
  "(a*)*b",
  "(a|a)*b",
  "(a|aa)+$b",
  "(.*)*(.*)*x",
  "^(([a-z])+.)+[A-Z]([a-z])+$",
  "(y+y+)+z",
  "(a?){300}a{300}b"
]

/** Levenshtein's distance, as it is defined. */
const distance = <A>(a: ReadonlyArray<A>, b: ReadonlyArray<A>): number => {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  a.forEach((x, i) => {
    const next = [i + 1]
    b.forEach((y, j) =>
      next.push(Math.min((row[j] ?? 0) + (x === y ? 0 : 1), (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    )
    row = next
  })
  return row.at(-1) ?? 0
}

const inByteOrder = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

export const suite = (engine: Engine) =>
  describeOn(engine, "KtCompat matching", () => {
    const test = testOn(engine)
    const put = (kt: KtCompat.KtCompat<string, string>, keys: ReadonlyArray<string>) =>
      kt.setBulk(keys.map((key) => [key, ""] as const))

    describe("U60, U66: matchPrefix", () => {
      test("keys that begin so, in the order of their bytes, at most `max`", (kt) =>
        Effect.gen(function*() {
          yield* put(kt, ["b", "a", "ab", "abc", "ac", "aé", "a\uffff", "a😀", "A"])
          deepStrictEqual(yield* kt.matchPrefix("ab"), ["ab", "abc"])
          deepStrictEqual(yield* kt.matchPrefix("a"), ["a", "ab", "abc", "ac", "aé", "a\uffff", "a😀"])
          deepStrictEqual(yield* kt.matchPrefix("a", { max: 3 }), ["a", "ab", "abc"])
          deepStrictEqual(yield* kt.matchPrefix("a", { max: 0 }), [])
          deepStrictEqual(yield* kt.matchPrefix("x"), [])
          deepStrictEqual(yield* kt.matchPrefix(""), yield* kt.keysNonlazy())
          assert.strictEqual((yield* kt.matchPrefix("")).length, 9)
        }))

      test("signs that databases know for patterns are only signs", (kt) =>
        Effect.gen(function*() {
          yield* put(kt, ["a%", "a_", "a*", "ax", "a\\", "a'"])
          for (const prefix of ["a%", "a_", "a*", "a\\", "a'"]) deepStrictEqual(yield* kt.matchPrefix(prefix), [prefix])
        }))

      test("prefixes of the greatest bytes, and as long as a key may be", () =>
        Effect.gen(function*() {
          const kt = yield* KtCompat.makeBytes()
          yield* kt.setBulk(["fe", "fe00", "ff", "ffff", "ffffff"].map((key) => [unhex(key), ""] as const))
          deepStrictEqual((yield* kt.matchPrefix(unhex("ff"))).map(hex), ["ff", "ffff", "ffffff"])
          deepStrictEqual((yield* kt.matchPrefix(unhex("ffff"))).map(hex), ["ffff", "ffffff"])
          deepStrictEqual((yield* kt.matchPrefix(unhex("fe"))).map(hex), ["fe", "fe00"])
          const longest = new Uint8Array(2048).fill(255)
          yield* kt.set(longest, "")
          deepStrictEqual(yield* kt.matchPrefix(longest), [longest])
        }))

      test("U60, U61, U62: numbers of keys that are none, and lone surrogates", (kt) =>
        Effect.gen(function*() {
          for (const max of [-1, 0.5, NaN, Infinity]) {
            yield* ktError(kt.matchPrefix("", { max }), "InvalidArgument")
            yield* ktError(kt.matchRegex("", { max }), "InvalidArgument")
            yield* ktError(kt.matchSimilar("", { max }), "InvalidArgument")
            yield* ktError(kt.matchSimilar("", { distance: max }), "InvalidArgument")
          }
          yield* failsWith(kt.matchPrefix("\ud800"), "InvalidKey")
          yield* failsWith(kt.matchRegex("\ud800"), "InvalidKey")
          yield* failsWith(kt.matchSimilar("\ud800"), "InvalidKey")
        }))
    })

    describe("U61: matchRegex", () => {
      test("finds what a POSIX extended regular expression finds", (kt) =>
        Effect.gen(function*() {
          yield* put(kt, all)
          for (const [expression, found] of expressions) {
            deepStrictEqual(yield* kt.matchRegex(expression), found, JSON.stringify(expression))
          }
        }))

      test("what does not compile is InvalidPattern, whatever keys there are", (kt) =>
        Effect.gen(function*() {
          for (const expression of refused) {
            const error = yield* ktError(kt.matchRegex(expression), "InvalidPattern")
            assert.include(error.message, JSON.stringify(expression))
          }
          yield* put(kt, all)
          for (const expression of refused) yield* ktError(kt.matchRegex(expression), "InvalidPattern")
          deepStrictEqual(yield* kt.error, { code: 8, message: "logic" })
        }))

      test("what would take exponential time is refused too", (kt) =>
        Effect.gen(function*() {
          for (const expression of ["(a)\\1", "\\1", "a{1001}", "((a{1000}){1000}){1000}", "(".repeat(300)]) {
            yield* ktError(kt.matchRegex(expression), "InvalidPattern")
          }
        }))

      test("in order, at most `max`", (kt) =>
        Effect.gen(function*() {
          yield* put(kt, ["a3", "a1", "b", "a2"])
          deepStrictEqual(yield* kt.matchRegex("^a", { max: 2 }), ["a1", "a2"])
          deepStrictEqual(yield* kt.matchRegex("^a", { max: 0 }), [])
          deepStrictEqual(yield* kt.matchRegex("", { max: 4 }), ["a1", "a2", "a3", "b"])
        }))

      test("works on bytes: a letter beyond ASCII is several, and each byte is one", (kt) =>
        Effect.gen(function*() {
          yield* put(kt, ["é", "日", "ae"])
          deepStrictEqual(yield* kt.matchRegex("^..$"), ["ae", "é"])
          deepStrictEqual(yield* kt.matchRegex("^...$"), ["日"])
          deepStrictEqual(yield* kt.matchRegex("é"), ["é"])
          deepStrictEqual(yield* kt.matchRegex("(日|é)$"), ["é", "日"])
          deepStrictEqual(yield* kt.matchRegex("[^ -~]"), ["é", "日"])
          const raw = yield* KtCompat.makeBytes()
          yield* raw.clear()
          yield* raw.setBulk(["00", "0a", "0d0a", "80", "ff", "ffff"].map((key) => [unhex(key), ""] as const))
          deepStrictEqual((yield* raw.matchRegex("^[^ -~]$")).map(hex), ["00", "0a", "80", "ff"])
          deepStrictEqual((yield* raw.matchRegex("\n")).map(hex), ["0a", "0d0a"])
          deepStrictEqual((yield* raw.matchRegex("^.\n$")).map(hex), ["0d0a"])
          deepStrictEqual((yield* raw.matchRegex("[[:cntrl:]]$")).map(hex), ["00", "0a", "0d0a"])
          deepStrictEqual((yield* raw.matchRegex("[[:print:][:alpha:]]")).map(hex), [])
        }))

      test("a key with NUL is found by what is before it", (kt) =>
        Effect.gen(function*() {
          yield* put(kt, ["ab\0cd", "ab"])
          deepStrictEqual(yield* kt.matchRegex("^ab"), ["ab", "ab\0cd"])
        }))

      test("pathological expressions finish, on the longest keys", (kt) =>
        Effect.gen(function*() {
          const keys = ["a".repeat(2048), "y".repeat(2048)]
          yield* put(kt, keys)
          for (const expression of pathological) {
            deepStrictEqual(yield* kt.matchRegex(expression), [], expression)
          }
          deepStrictEqual(yield* kt.matchRegex("^(a*)*$"), [keys[0]])
        }))
    })

    describe("U62: matchSimilar", () => {
      test("the nearest first, then in the order of their bytes", (kt) =>
        Effect.gen(function*() {
          yield* put(kt, Array.from({ length: 100 }, (_, i) => `k${String(i).padStart(4, "0")}`))
          deepStrictEqual(yield* kt.matchSimilar("k0022", { max: 5 }), ["k0022", "k0002", "k0012", "k0020", "k0021"])
          deepStrictEqual((yield* kt.matchSimilar("k0022")).length, 19)
          deepStrictEqual(yield* kt.matchSimilar("k0022", { distance: 0 }), ["k0022"])
          deepStrictEqual(yield* kt.matchSimilar("k022"), ["k0022"])
          deepStrictEqual(yield* kt.matchSimilar("xk0022"), ["k0022"])
          deepStrictEqual(yield* kt.matchSimilar("zzz"), [])
          deepStrictEqual((yield* kt.matchSimilar("k0022", { distance: 5 })).length, 100)
          deepStrictEqual(yield* kt.matchSimilar("k0022", { distance: 2, max: 1 }), ["k0022"])
          deepStrictEqual(yield* kt.matchSimilar("k0022", { max: 0 }), [])
        }))

      test("an edit is of a code point, whatever its length", (kt) =>
        Effect.gen(function*() {
          yield* put(kt, ["", "a", "é", "日", "😀", "😁", "a😀", "😀😁", "e\u0301"])
          deepStrictEqual(
            yield* kt.matchSimilar("😀"),
            ["😀", "", "a", "a😀", "é", "日", "😀😁", "😁"].sort((a, b) =>
              a === "😀" ? -1 : b === "😀" ? 1 : inByteOrder(a, b)
            )
          )
          deepStrictEqual(yield* kt.matchSimilar("😁😀", { distance: 0 }), [])
          deepStrictEqual(yield* kt.matchSimilar("😁😀"), ["a😀", "😀", "😁"])
          deepStrictEqual(yield* kt.matchSimilar("é", { distance: 0 }), ["é"])
        }))

      test("an edit is of a byte if keys are bytes", () =>
        Effect.gen(function*() {
          const kt = yield* KtCompat.makeBytes()
          yield* kt.setBulk(["", "a", "é", "日", "😀", "😁"].map((key) => [bytes(key), ""] as const))
          const similar = (origin: string, distance: number) =>
            Effect.map(kt.matchSimilar(bytes(origin), { distance }), (all) =>
              all.map((key) => Buffer.from(key).toString()))
          deepStrictEqual(yield* similar("😀", 1), ["😀", "😁"])
          deepStrictEqual(yield* similar("é", 1), ["é"])
          deepStrictEqual(yield* similar("é", 2), ["é", "", "a"])
          yield* kt.setBulk([[unhex("ff"), ""], [unhex("fffe"), ""]])
          deepStrictEqual((yield* kt.matchSimilar(unhex("ff"), { max: 1 })).map(hex), ["ff"])
          deepStrictEqual((yield* kt.matchSimilar(unhex("fd"))).map(latin1), ["", "a", "\xff"])
        }))

      test("a key that is not UTF-8 is not the text that has its bytes as letters", (kt) =>
        Effect.gen(function*() {
          yield* (yield* KtCompat.makeBytes()).set(unhex("e9"), "")
          deepStrictEqual(yield* kt.matchSimilar("é", { distance: 0 }), [])
        }))

      test("agrees with the definition on random keys", (kt) =>
        Effect.gen(function*() {
          let seed = 7
          const random = (n: number): number => {
            seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
            return Math.floor(seed / 65_536) % n
          }
          const letters = ["a", "b", "é", "日", "😀", "😁"]
          const word = () =>
            Array.from({ length: random(6) }, () => letters[random(letters.length)]).join("")
          const keys = [...new Set(Array.from({ length: 150 }, word))].sort(inByteOrder)
          yield* put(kt, keys)
          for (let i = 0; i < 25; i++) {
            const [origin, most] = [word(), random(4)]
            const expected = keys
              .map((key) => ({ away: distance([...origin], [...key]), key }))
              .filter(({ away }) => away <= most)
              .sort((a, b) => a.away - b.away)
              .map(({ key }) => key)
            deepStrictEqual(yield* kt.matchSimilar(origin, { distance: most }), expected, `${origin} within ${most}`)
          }
        }))
    })
  })
