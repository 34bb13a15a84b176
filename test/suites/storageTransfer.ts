/** Entries leave one Storage as lines of text and come into another, on any engine, and nothing is lost. */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import {
  Cause,
  Chunk,
  Context,
  Data,
  Effect,
  Exit,
  FastCheck as fc,
  Fiber,
  Layer,
  Option,
  type Scope,
  Stream,
  TestClock,
  TestContext
} from "effect"
import { Storage, StorageError } from "effect-kv"
import { describeOn, type Engine, kinds, memory } from "../engines.js"

type Service = Storage.Storage["Type"]

const header = "{\"format\":\"effect-kv\",\"version\":1}"

/** A store of its own, for as long as the scope lives. */
const build = (engine: Engine) => Effect.map(Layer.build(engine.layer), Context.get(Storage.Storage))

const linesOf = (storage: Service, options?: Storage.ExportOptions) =>
  Storage.exportEntries(options).pipe(
    Stream.runCollect,
    Effect.map(Chunk.toReadonlyArray),
    Effect.provideService(Storage.Storage, storage)
  )

const textOf = (storage: Service) => Effect.map(linesOf(storage), (lines) => lines.join(""))

const importStream = <E>(
  storage: Service,
  text: Stream.Stream<string | Uint8Array, E>,
  options?: Storage.ImportOptions
) => Effect.provideService(Storage.importEntries(text, options), Storage.Storage, storage)

const importing = (storage: Service, pieces: Iterable<string | Uint8Array>, options?: Storage.ImportOptions) =>
  importStream(storage, Stream.fromIterable(pieces), options)

const copy = (from: Service, to: Service, options?: Storage.ImportOptions) =>
  importStream(to, Stream.provideService(Storage.exportEntries(), Storage.Storage, from), options)

const textKeyspace = "{\"keyspace\":\"s\",\"keys\":\"text\"}"

/** A whole export of one keyspace with text keys. */
const fileOf = (...entries: ReadonlyArray<string>) =>
  [header, textKeyspace, ...entries, `{"entries":${entries.length}}`, ""].join("\n")

const valueAt = (storage: Service, key: string, name = "s") =>
  Effect.map(
    Effect.flatMap(storage.keyspace(name), (keyspace) => keyspace.get(key)),
    (found) => Option.getOrUndefined(Option.map(found, ({ value }) => value))
  )

const oddNames = [
  "",
  " ",
  "\0",
  "A",
  "a",
  "a-b",
  "a_b",
  "'; DROP TABLE kv_catalog; --",
  "\u2028",
  "é",
  "\ud800",
  "\udc00\ud800",
  "\uffff",
  "\u{1F600}",
  "n".repeat(5000)
]

const oddTexts = [
  "",
  "\0",
  "\r\n",
  "\"\\/",
  "a\u0085b\u2028c\u2029d",
  "\ufeff",
  "\ufffd",
  "\u{1F600}\u{10FFFF}",
  "{\"a\":1}"
]

/** Something of everything. */
const fill = (storage: Service) =>
  Effect.gen(function*() {
    for (const name of oddNames) {
      const keyspace = yield* storage.keyspace(name)
      yield* keyspace.set("", name.isWellFormed() ? name : "lone")
    }
    const texts = yield* storage.keyspace("texts")
    yield* texts.setMany(oddTexts.map((value, i) => ({ expiresAt: undefined, key: `${i}`, value })))
    yield* texts.setMany(
      ["\u0001", "\u0085", "\u2028", "\ufeff", "\ufffd", "\u{1F600}", "k".repeat(2048)].map((key) => ({
        expiresAt: undefined,
        key,
        value: key
      }))
    )
    const bytes = yield* storage.keyspace("bytes", { keys: "bytes" })
    const all = Uint8Array.from({ length: 256 }, (_, i) => i)
    yield* bytes.set(new Uint8Array(), new Uint8Array())
    yield* bytes.set(all, all)
    yield* bytes.set(new Uint8Array(2048).fill(255), "text under bytes")
    yield* bytes.set(new Uint8Array([0]), all.subarray(3, 8))
    yield* texts.set("bytes under text", all)
    yield* texts.set("expires", "v", 1)
    yield* texts.set("expires last of all", "v", Number.MAX_SAFE_INTEGER)
    yield* texts.set("never", "v", Infinity)
    yield* texts.set("expired", "v", 0)
    yield* texts.set("expired first of all", "v", -Infinity)
    yield* storage.keyspace("empty")
    yield* storage.keyspace("empty bytes", { keys: "bytes" })
  })

const isWanted = (error: unknown): boolean => error instanceof StorageError.ImportError

/** Neither a defect nor anything but an ImportError, whatever is in a file. */
const assertHarmless = (exit: Exit.Exit<Storage.Imported, unknown>, file: string | Uint8Array) => {
  if (Exit.isSuccess(exit)) return
  const failure = Cause.failureOption(exit.cause)
  assert(Option.isSome(failure) && isWanted(failure.value), `${Cause.pretty(exit.cause)}\n${String(file)}`)
}

// --- random stores

interface Content {
  readonly name: string
  readonly bytes: boolean
  readonly entries: ReadonlyArray<{
    readonly key: Uint8Array
    readonly value: Storage.Value
    readonly expiresAt: number | undefined
  }>
}

const text = fc.string({ maxLength: 8, unit: "binary" })
const units = fc.array(fc.oneof(fc.integer({ max: 0xffff, min: 0 }), fc.integer({ max: 0xdfff, min: 0xd800 })), {
  maxLength: 5
}).map((units) => String.fromCharCode(...units))
const content: fc.Arbitrary<Content> = fc.record({
  bytes: fc.boolean(),
  entries: fc.array(
    fc.record({
      expiresAt: fc.option(
        fc.oneof(
          fc.integer({ max: 3, min: -3 }),
          fc.maxSafeInteger(),
          fc.constantFrom(Infinity, -Infinity, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 0.5)
        ),
        { nil: undefined }
      ),
      key: fc.uint8Array({ maxLength: 6 }),
      value: fc.oneof(text, fc.uint8Array({ maxLength: 6 }))
    }),
    { maxLength: 8 }
  ),
  name: fc.oneof(fc.constantFrom(...oddNames), units)
})
const contents = fc.uniqueArray(content, { maxLength: 5, selector: ({ name }) => name })

/** Text keys are made of bytes, so that one arbitrary serves both kinds. */
const textKey = (key: Uint8Array) =>
  String.fromCodePoint(...Array.from(key, (byte) => byte < 128 ? byte + 1 : byte * 500))

const store = (storage: Service, contents: ReadonlyArray<Content>) =>
  Effect.forEach(contents, ({ bytes, entries, name }) =>
    bytes
      ? Effect.flatMap(storage.keyspace(name, { keys: "bytes" }), (keyspace) => keyspace.setMany(entries))
      : Effect.flatMap(storage.keyspace(name), (keyspace) =>
        keyspace.setMany(entries.map((entry) => ({ ...entry, key: textKey(entry.key) })))))

const runProperty = <A, E>(self: Effect.Effect<A, E>) =>
  Effect.runPromise(Effect.provide(self, TestContext.TestContext))

// --- broken files

const fragment = fc.oneof(
  fc.string({ maxLength: 4, unit: "binary" }),
  units,
  fc.constantFrom(
    "\n",
    "{",
    "}",
    "\"",
    ",\"x\":1",
    "null",
    "1e999",
    "[[[[",
    "{\"base64\":\"AA\"}",
    "\\ud800",
    "\\u0000",
    "{\"entries\":1}\n",
    `${header}\n`,
    `${textKeyspace}\n`,
    "{\"keyspace\":\"s\",\"keys\":\"bytes\"}\n",
    "{\"__proto__\":{},\"key\":\"k\",\"value\":\"v\"}\n"
  )
)

const mutation = fc.record({
  at: fc.double({ max: 1, min: 0, noNaN: true }),
  drop: fc.oneof(fc.constant(0), fc.integer({ max: 30, min: 0 }), fc.constant(Infinity)),
  insert: fc.oneof(fc.constant(""), fragment)
})

const mutate = (file: string, mutations: ReadonlyArray<{ at: number; drop: number; insert: string }>) =>
  mutations.reduce((file, { at, drop, insert }) => {
    const from = Math.floor(at * file.length)
    return file.slice(0, from) + insert + file.slice(from + drop)
  }, file)

class Broken extends Data.TaggedError("Broken") {}

export const suite = (engine: Engine) =>
  describeOn(engine, "moving data", () => {
    const test = <A, E>(
      title: string,
      body: (storage: Service) => Effect.Effect<A, E, Scope.Scope>,
      timeout?: number
    ) => it.scoped(title, () => Effect.flatMap(build(engine), body), timeout)

    describe("an export", () => {
      test("is lines that say what they are", (storage) =>
        Effect.gen(function*() {
          deepStrictEqual(yield* linesOf(storage), [`${header}\n`, "{\"entries\":0}\n"])
          const texts = yield* storage.keyspace("texts")
          yield* texts.set("b", "say \"hi\"\n", 1)
          yield* texts.set("a\u2028", new Uint8Array([1, 2, 3]))
          yield* texts.set("gone", "v", 0)
          const bytes = yield* storage.keyspace("bytes", { keys: "bytes" })
          yield* bytes.set(new Uint8Array([255]), "\ud83d\ude00", Number.MAX_SAFE_INTEGER)
          yield* bytes.set(new Uint8Array(), new Uint8Array())
          deepStrictEqual(yield* linesOf(storage), [
            `${header}\n`,
            "{\"keyspace\":\"bytes\",\"keys\":\"bytes\"}\n",
            "{\"key\":{\"base64\":\"\"},\"value\":{\"base64\":\"\"}}\n",
            "{\"key\":{\"base64\":\"/w==\"},\"value\":\"\u{1F600}\",\"expiresAt\":9007199254740991}\n",
            "{\"keyspace\":\"texts\",\"keys\":\"text\"}\n",
            "{\"key\":\"a\\u2028\",\"value\":{\"base64\":\"AQID\"}}\n",
            "{\"key\":\"b\",\"value\":\"say \\\"hi\\\"\\n\",\"expiresAt\":1}\n",
            "{\"entries\":4}\n"
          ])
        }))

      test("has no entry that has expired, and each run counts for itself", (storage) =>
        Effect.gen(function*() {
          const keyspace = yield* storage.keyspace("s")
          yield* keyspace.set("a", "v", 10)
          yield* keyspace.set("b", "v", 11)
          const exported = Effect.provideService(
            Stream.runCollect(Storage.exportEntries()),
            Storage.Storage,
            storage
          )
          assert.strictEqual(Chunk.unsafeLast(yield* exported), "{\"entries\":2}\n")
          yield* TestClock.setTime(10)
          assert.strictEqual(
            Chunk.join(yield* exported, ""),
            fileOf("{\"key\":\"b\",\"value\":\"v\",\"expiresAt\":11}")
          )
        }))

      test("holds the keyspaces that are asked for, and fails before anything if one is not there", (storage) =>
        Effect.gen(function*() {
          for (const name of ["a", "b", "c"]) yield* storage.keyspace(name)
          const namesOf = (keyspaces: ReadonlyArray<string>) =>
            Effect.map(linesOf(storage, { keyspaces }), (lines) =>
              lines.slice(1, -1).map((line) => JSON.parse(line).keyspace))
          deepStrictEqual(yield* namesOf(["c", "a", "c"]), ["a", "c"])
          deepStrictEqual(yield* namesOf([]), [])
          let emitted = 0
          const error = yield* Storage.exportEntries({ keyspaces: ["a", "A"] }).pipe(
            Stream.runForEach(() =>
              Effect.sync(() => emitted++)
            ),
            Effect.provideService(Storage.Storage, storage),
            Effect.flip
          )
          deepStrictEqual([error.reason, error.method, error.keyspace], ["Unavailable", "exportEntries", "A"])
          assert.strictEqual(emitted, 0)
          deepStrictEqual((yield* storage.maintenance.keyspaces).map(({ name }) => name), ["a", "b", "c"])
        }))

      test("in a transaction is one snapshot", (storage) =>
        Effect.gen(function*() {
          const keyspace = yield* storage.keyspace("s")
          // Several pages, and others write after each line.
          yield* keyspace.setMany(
            Array.from({ length: 60 }, (_, i) => ({ expiresAt: undefined, key: `k${i}`, value: "0" }))
          )
          const before = yield* textOf(storage)
          const lines: Array<string> = []
          const writers: Array<Fiber.RuntimeFiber<void, unknown>> = []
          yield* storage.transaction(
            Storage.exportEntries().pipe(
              Stream.runForEach((line) =>
                Effect.sync(() => {
                  // Not in the transaction, for whose end they wait.
                  if (lines.push(line) % 20 === 0) {
                    writers.push(Effect.runFork(keyspace.set(`new ${lines.length}`, "1")))
                  }
                })
              ),
              Effect.provideService(Storage.Storage, storage)
            )
          )
          assert.strictEqual(lines.join(""), before)
          yield* Fiber.joinAll(writers)
          assert.strictEqual((yield* keyspace.stat()).entries, 63)
        }))
    })

    describe("an import", () => {
      test("gives back all that was exported, also a second time", (storage) =>
        Effect.gen(function*() {
          yield* fill(storage)
          const file = yield* textOf(storage)
          const other = yield* build(engine)
          const imported = { expired: 0, imported: 39, kept: 0 }
          deepStrictEqual(yield* importing(other, [file]), imported)
          assert.strictEqual(yield* textOf(other), file)
          deepStrictEqual(yield* importing(other, [file]), imported)
          assert.strictEqual(yield* textOf(other), file)
          const keyspace = yield* other.keyspace("texts")
          deepStrictEqual(
            yield* keyspace.get("expires last of all"),
            Option.some({ expiresAt: Number.MAX_SAFE_INTEGER, key: "expires last of all", value: "v" })
          )
          deepStrictEqual(
            yield* valueAt(other, "bytes under text", "texts"),
            Uint8Array.from({ length: 256 }, (_, i) => i)
          )
        }))

      test("takes text and UTF-8 in any pieces, with any line ends", (storage) =>
        Effect.gen(function*() {
          const keyspace = yield* storage.keyspace("s")
          yield* keyspace.set("\u{1F600}", "é\u{1F600}\r\n\ufeff")
          yield* keyspace.set("b", new Uint8Array([1, 2]))
          const file = yield* textOf(storage)
          const utf8 = Buffer.from(file)
          const dos = `\ufeff\r\n${file.replaceAll("\n", "\r\n\r\n")}`
          const forms: Readonly<Record<string, ReadonlyArray<string | Uint8Array>>> = {
            "both, in turns": [file.slice(0, 50), utf8.subarray(50)],
            "bytes, one by one": Array.from(utf8, (byte) => new Uint8Array([byte])),
            "lines": file.split(/(?<=\n)/),
            "no last line end": [file.trimEnd()],
            "of Windows": [dos],
            "of Windows, in UTF-8": [Buffer.from(dos)],
            "one text": [file],
            "units, one by one": file.split("")
          }
          for (const [form, pieces] of Object.entries(forms)) {
            const other = yield* build(engine)
            deepStrictEqual(yield* importing(other, pieces), { expired: 0, imported: 2, kept: 0 }, form)
            assert.strictEqual(yield* textOf(other), file, form)
          }
        }))

      test("replaces what is there, or keeps it, and leaves the rest alone", (storage) =>
        Effect.gen(function*() {
          const keyspace = yield* storage.keyspace("s")
          const before = Effect.gen(function*() {
            yield* keyspace.set("taken", "old", 50)
            yield* keyspace.set("expired", "old", 0)
            yield* keyspace.set("other", "old")
          })
          const file = fileOf(
            "{\"key\":\"expired\",\"value\":\"new\",\"expiresAt\":60}",
            "{\"key\":\"free\",\"value\":\"new\"}",
            "{\"key\":\"taken\",\"value\":\"new\"}"
          )
          const entries = Effect.map(
            Stream.runCollect(keyspace.entries()),
            (entries) => Chunk.toReadonlyArray(entries).map(({ expiresAt, key, value }) => [key, value, expiresAt])
          )
          yield* before
          deepStrictEqual(yield* importing(storage, [file]), { expired: 0, imported: 3, kept: 0 })
          deepStrictEqual(yield* entries, [
            ["expired", "new", 60],
            ["free", "new", undefined],
            ["other", "old", undefined],
            ["taken", "new", undefined]
          ])
          yield* keyspace.clear()
          yield* before
          deepStrictEqual(yield* importing(storage, [file], { existing: "keep" }), { expired: 0, imported: 2, kept: 1 })
          deepStrictEqual(yield* entries, [
            ["expired", "new", 60],
            ["free", "new", undefined],
            ["other", "old", undefined],
            ["taken", "old", 50]
          ])
          deepStrictEqual(yield* importing(storage, [file], { existing: "keep" }), { expired: 0, imported: 0, kept: 3 })
        }))

      test("leaves out and counts what has expired meanwhile", (storage) =>
        Effect.gen(function*() {
          yield* TestClock.setTime(1000)
          const file = fileOf(
            "{\"key\":\"a\",\"value\":\"v\",\"expiresAt\":999}",
            "{\"key\":\"b\",\"value\":\"v\",\"expiresAt\":1000}",
            "{\"key\":\"c\",\"value\":\"v\",\"expiresAt\":1001}",
            "{\"key\":\"d\",\"value\":\"v\",\"expiresAt\":-9007199254740991}"
          )
          const counts = { expired: 3, imported: 1, kept: 0 }
          deepStrictEqual(yield* importing(storage, [file]), counts)
          deepStrictEqual(yield* importing(yield* build(engine), [file], { existing: "keep" }), counts)
          assert.strictEqual(yield* textOf(storage), fileOf("{\"key\":\"c\",\"value\":\"v\",\"expiresAt\":1001}"))
          assert.strictEqual((yield* (yield* storage.keyspace("s")).removeExpired({ limit: 10 })).removed, 0)
        }))

      test("takes any number of entries, and values of 5 MB", (storage) =>
        Effect.gen(function*() {
          const large = Uint8Array.from({ length: 5_000_000 }, (_, i) => i * 7)
          const keyspace = yield* storage.keyspace("s")
          yield* keyspace.setMany(
            Array.from({ length: 2345 }, (_, i) => ({ expiresAt: undefined, key: `k${i}`, value: String(i) }))
          )
          yield* keyspace.set("large bytes", large)
          yield* keyspace.set("large text", "\0é\u{1F600}\u2028".repeat(100_000))
          for (const existing of ["replace", "keep"] as const) {
            const other = yield* build(engine)
            const counts = yield* copy(storage, other, { existing })
            deepStrictEqual(counts, { expired: 0, imported: 2347, kept: 0 })
            assert.isTrue((yield* textOf(other)) === (yield* textOf(storage)))
            deepStrictEqual(yield* valueAt(other, "large bytes"), large)
          }
        }), 60_000)

      test("in a transaction is all or nothing", (storage) =>
        Effect.gen(function*() {
          yield* Effect.flatMap(storage.keyspace("s"), (keyspace) => keyspace.set("old", "v"))
          const before = yield* textOf(storage)
          const entries = Array.from({ length: 1100 }, (_, i) => `{"key":"k${i}","value":"v"}`)
          for (const existing of ["replace", "keep"] as const) {
            const cut = [header, "{\"keyspace\":\"new\",\"keys\":\"text\"}", ...entries].join("\n")
            const error = yield* Effect.flip(storage.transaction(importing(storage, [cut], { existing })))
            assert(error._tag === "ImportError" && error.imported === 1100)
            assert.strictEqual(yield* textOf(storage), before)
          }
          yield* storage.transaction(importing(storage, [fileOf(...entries)], { existing: "keep" }))
          assert.strictEqual((yield* (yield* storage.keyspace("s")).stat()).entries, 1101)
        }))

      test("fails as its text does, and as its Storage does", (storage) =>
        Effect.gen(function*() {
          const broken = Stream.concat(Stream.make(`${header}\n`), Stream.fail(new Broken()))
          assert.strictEqual((yield* Effect.flip(importStream(storage, broken)))._tag, "Broken")
          const gone = yield* Effect.scoped(build(engine))
          const exit = yield* Effect.exit(importing(gone, [fileOf("{\"key\":\"k\",\"value\":\"v\"}")]))
          // In memory nothing closes.
          if (engine.name === "memory") return
          assert(Exit.isFailure(exit))
          const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
          assert(error?._tag === "StorageError" && error.reason === "Closed")
        }))
    })

    describe("a file that cannot be read", () => {
      const good = "{\"key\":\"a\",\"value\":\"v\"}"
      const cases: ReadonlyArray<
        readonly [
          title: string,
          lines: ReadonlyArray<string | Uint8Array>,
          line: number,
          imported: number,
          issue: string
        ]
      > = [
        ["nothing", [], 1, 0, "the last line"],
        ["blank", ["", " "], 3, 0, "the last line"],
        ["no JSON", ["hello"], 1, 0, "it is not JSON"],
        [
          "no header",
          [textKeyspace],
          1,
          0,
          "the first line is not {\"format\":\"effect-kv\",\"version\":1}: \"keyspace\" is unexpected"
        ],
        ["another header", ["{\"format\":\"x\",\"version\":1}"], 1, 0, "\"format\" is not \"effect-kv\""],
        ["a newer version", ["{\"format\":\"effect-kv\",\"version\":2}"], 1, 0, "\"version\" is not 1"],
        ["a list", ["[]"], 1, 0, "it is not a JSON object"],
        ["a second header", [header, textKeyspace, good, header], 4, 1, "\"format\" is unexpected"],
        ["an entry before a keyspace", [header, good], 2, 0, "no line before it names a keyspace"],
        ["no name", [header, "{\"keyspace\":1,\"keys\":\"text\"}"], 2, 0, "\"keyspace\" is not a text"],
        ["no kind of keys", [header, "{\"keyspace\":\"s\"}"], 2, 0, "\"keys\" is missing"],
        ["another kind of keys", [header, "{\"keyspace\":\"s\",\"keys\":\"x\"}"], 2, 0, "\"keys\" is neither"],
        [
          "the other kind of keys than there is",
          [header, textKeyspace, good, "{\"keyspace\":\"s\",\"keys\":\"bytes\"}"],
          4,
          1,
          "it was created with text keys"
        ],
        ["a number", [header, textKeyspace, good, "1"], 4, 1, "it is not a JSON object"],
        ["no value", [header, textKeyspace, good, "{\"key\":\"b\"}"], 4, 1, "\"value\" is missing"],
        ["another value", [header, textKeyspace, good, "{\"key\":\"b\",\"value\":1}"], 4, 1, "\"value\" is neither"],
        [
          "bad base64",
          [header, textKeyspace, good, "{\"key\":\"b\",\"value\":{\"base64\":\"A\"}}"],
          4,
          1,
          "\"value\" is neither a text nor bytes"
        ],
        [
          "bytes as a text key",
          [header, textKeyspace, "{\"key\":{\"base64\":\"\"},\"value\":\"\"}"],
          3,
          0,
          "\"key\" is not a text"
        ],
        [
          "text as a bytes key",
          [header, "{\"keyspace\":\"b\",\"keys\":\"bytes\"}", "{\"key\":\"AAAA\",\"value\":\"\"}"],
          3,
          0,
          "\"key\" is not bytes"
        ],
        [
          "a misspelt member",
          [header, textKeyspace, good, "{\"key\":\"b\",\"value\":\"v\",\"expires\":1}"],
          4,
          1,
          "\"expires\" is unexpected"
        ],
        [
          "an expiry that is none",
          [header, textKeyspace, good, "{\"key\":\"b\",\"value\":\"v\",\"expiresAt\":1e400}"],
          4,
          1,
          "\"expiresAt\" is not a whole number"
        ],
        [
          "a key with NUL",
          [header, textKeyspace, good, "{\"key\":\"\\u0000\",\"value\":\"v\"}"],
          4,
          1,
          "\"key\" cannot be a key: it contains NUL"
        ],
        [
          "a key that is too long",
          [header, textKeyspace, `{"key":"${"k".repeat(2049)}","value":"v"}`],
          3,
          0,
          "\"key\" cannot be a key: it is 2049 bytes long"
        ],
        [
          "a value with a lone surrogate",
          [header, textKeyspace, good, "{\"key\":\"b\",\"value\":\"\\ud800\"}"],
          4,
          1,
          "\"value\" cannot be a value: the text contains a lone surrogate"
        ],
        ["no UTF-8", [header, textKeyspace, good, new Uint8Array([34, 0xc3, 34])], 4, 1, "it is not UTF-8"],
        [
          "a count that is none",
          [header, textKeyspace, good, "{\"entries\":\"1\"}"],
          4,
          1,
          "\"entries\" is not a whole number"
        ],
        [
          "missing entries",
          [header, textKeyspace, good, "{\"entries\":2}"],
          4,
          1,
          "it promises 2 entries, and there were 1"
        ],
        [
          "more entries",
          [header, textKeyspace, good, "{\"entries\":0}"],
          4,
          1,
          "it promises 0 entries, and there were 1"
        ],
        ["no last line", [header, textKeyspace, good], 4, 1, "the last line, {\"entries\":...}, is missing"],
        ["two files", [header, textKeyspace, good, "{\"entries\":1}", header], 5, 1, "it comes after"],
        [
          "a value that is nested too deep",
          [header, textKeyspace, good, `{"key":"b","value":${"[".repeat(200_000)}${"]".repeat(200_000)}}`],
          4,
          1,
          "\"value\" is neither"
        ]
      ]

      for (const [title, lines, line, imported, issue] of cases) {
        test(`${title}: the error tells the line, and what comes before is imported`, (storage) =>
          Effect.gen(function*() {
            for (const existing of ["replace", "keep"] as const) {
              const other = existing === "replace" ? storage : yield* build(engine)
              const error = yield* Effect.flip(importing(other, lines.flatMap((line) => [line, "\n"]), { existing }))
              assert(error._tag === "ImportError")
              assert.include(error.message, issue)
              deepStrictEqual([error.line, error.imported, error.kept, error.expired], [line, imported, 0, 0])
              assert.strictEqual(error.message, `line ${line}: ${error.issue}; imported until then: ${imported}`)
              assert.isBelow(error.message.length, 300)
              if (imported > 0) assert.strictEqual(yield* valueAt(other, "a"), "v")
            }
          }))
      }

      test("wherever it is cut, it fails, and what is imported is what there was", (storage) =>
        Effect.gen(function*() {
          const keyspace = yield* storage.keyspace("s")
          yield* keyspace.set("a", "é\u{1F600}", 5)
          yield* keyspace.set("b", new Uint8Array([1, 2]))
          const utf8 = Buffer.from(yield* textOf(storage))
          const other = yield* build(engine)
          const target = yield* other.keyspace("s")
          // Without its last line end it is whole.
          for (let length = 0; length < utf8.length - 1; length++) {
            yield* target.clear()
            const error = yield* Effect.flip(importing(other, [utf8.subarray(0, length)]))
            assert(error._tag === "ImportError")
            const entries = yield* Stream.runCollect(target.entries())
            assert.strictEqual(entries.length, error.imported)
            deepStrictEqual(
              Chunk.toReadonlyArray(entries),
              Chunk.toReadonlyArray(yield* Stream.runCollect(keyspace.entries({ limit: entries.length })))
            )
          }
          yield* importing(other, [utf8.subarray(0, utf8.length - 1)])
        }))

      it("random mutations of a good file are an ImportError or nothing", () =>
        fc.assert(
          fc.asyncProperty(
            contents,
            fc.array(mutation, { maxLength: 4, minLength: 1 }),
            fc.array(fc.tuple(fc.nat(), fc.integer({ max: 255, min: 0 })), { maxLength: 2 }),
            fc.constantFrom<"replace" | "keep">("replace", "keep"),
            (contents, mutations, flips, existing) =>
              runProperty(Effect.scoped(Effect.gen(function*() {
                const storage = yield* build(engine)
                yield* store(storage, contents)
                const file = mutate(yield* textOf(storage), mutations)
                const utf8 = Buffer.from(file)
                for (const [at, byte] of flips) utf8[at % utf8.length] = byte
                assertHarmless(yield* Effect.exit(importing(storage, [file], { existing })), file)
                assertHarmless(yield* Effect.exit(importing(storage, [utf8], { existing })), utf8)
              })))
          ),
          { numRuns: engine === memory ? 100 : 15 }
        ), 60_000)

      it("random text is an ImportError", () =>
        fc.assert(
          fc.asyncProperty(
            fc.array(
              fc.oneof(
                fragment,
                fc.json(),
                fc.constantFrom(`${header}\n`, `${textKeyspace}\n`, good, "\n"),
                fc.uint8Array()
              ),
              { maxLength: 12 }
            ),
            (pieces) =>
              runProperty(Effect.scoped(Effect.gen(function*() {
                assertHarmless(yield* Effect.exit(importing(yield* build(engine), pieces)), String(pieces))
              })))
          ),
          { numRuns: engine === memory ? 100 : 15 }
        ), 60_000)
    })

    it("random stores: exported, imported and exported again, the text is the same", () =>
      fc.assert(
        fc.asyncProperty(contents, fc.integer({ max: 40, min: 1 }), (contents, size) =>
          runProperty(Effect.scoped(Effect.gen(function*() {
            const storage = yield* build(engine)
            yield* store(storage, contents)
            const file = yield* textOf(storage)
            const other = yield* build(engine)
            const pieces = file.match(new RegExp(`[^]{1,${size}}`, "g")) ?? []
            const { imported } = yield* importing(other, pieces)
            assert.strictEqual(yield* textOf(other), file)
            let live = 0
            for (const { entries, keyspace } of yield* other.maintenance.stats) {
              live += entries
              assert.include(contents.map(({ name }) => name), keyspace)
            }
            assert.strictEqual(imported, live)
          })))),
        { numRuns: engine === memory ? 60 : 10 }
      ), 60_000)

    for (const other of kinds) {
      it.scoped.skipIf(other.unavailable !== undefined)(`to ${other.name} and back, the text is the same`, () =>
        Effect.gen(function*() {
          const here = yield* build(engine)
          yield* fill(here)
          const there = yield* build(other)
          const back = yield* build(engine)
          yield* copy(here, there)
          yield* copy(there, back)
          const file = yield* textOf(here)
          assert.strictEqual(yield* textOf(there), file)
          assert.strictEqual(yield* textOf(back), file)
        }))
    }
  })
