/**
 * A hexastore: who knows whom and who likes what, as triples of subject, predicate and object. Any part of them finds the
 * rest. The procedures of it are built in; a small wrapper gives them types.
 *
 *     npx tsx examples/hexastore.ts
 */
import { Console, Effect, Schema } from "effect"
import { KtCompat } from "effect-kv"

const Triple = Schema.Struct({
  subject: Schema.NonEmptyString,
  predicate: Schema.Literal("knows", "likes"),
  object: Schema.NonEmptyString
})
type Triple = typeof Triple.Type

/** What a triple is asked for by. What is not given is what is asked. */
type Pattern = Partial<Triple>

/** Two colons part the values in the keys of the store, so there are none in them. */
const encodePart = (part: string | undefined) => part === undefined ? undefined : encodeURIComponent(part)

const parameters = ({ object, predicate, subject }: Pattern): ReadonlyArray<readonly [string, string]> =>
  Object.entries({ o: encodePart(object), p: encodePart(predicate), s: encodePart(subject) })
    .flatMap(([name, value]) => value === undefined ? [] : [[name, value] as const])

const add = (...triples: ReadonlyArray<Triple>) =>
  Effect.gen(function*() {
    const kt = yield* KtCompat.KtCompat
    for (const triple of triples) yield* kt.rawScript("hx_add", parameters(triple))
  })

const remove = (triple: Triple) =>
  Effect.flatMap(KtCompat.KtCompat, (kt) => kt.rawScript("hx_remove", parameters(triple)))

/** The triples that have what is given, which is at least one part. */
const query = (pattern: Pattern) =>
  Effect.gen(function*() {
    const kt = yield* KtCompat.KtCompat
    const answer = yield* kt.rawScript("hx_query", parameters(pattern))
    // The answer has what was not given, under names with a number: s0, o0, s1, o1, ...
    const part = (name: string) => {
      const value = answer.get(name)
      return value === undefined ? undefined : decodeURIComponent(new TextDecoder().decode(value))
    }
    const found = Array.from(new Set(Array.from(answer.keys(), (name) => name.replace(/\D/g, ""))), (i) => ({
      object: part(`o${i}`),
      predicate: part(`p${i}`),
      subject: part(`s${i}`),
      ...pattern
    }))
    return yield* Schema.decodeUnknown(Schema.Array(Triple))(found)
  })

const program = Effect.gen(function*() {
  yield* add(
    { object: "bob", predicate: "knows", subject: "ada" },
    { object: "cleo", predicate: "knows", subject: "ada" },
    { object: "dan", predicate: "knows", subject: "bob" },
    { object: "dan", predicate: "knows", subject: "cleo" },
    { object: "ada", predicate: "likes", subject: "dan" },
    { object: "C++ :: templates", predicate: "likes", subject: "ada" }
  )
  const show = (what: string, all: ReadonlyArray<string>) => Console.log(`${what}: ${all.join(", ")}`)

  const known = yield* query({ predicate: "knows", subject: "ada" })
  yield* show("ada knows", known.map(({ object }) => object))
  yield* show("dan is known by", (yield* query({ object: "dan", predicate: "knows" })).map(({ subject }) => subject))
  yield* show("between dan and ada", (yield* query({ object: "ada", subject: "dan" })).map((found) => found.predicate))
  const all = yield* query({ subject: "ada" })
  yield* show("all of ada", all.map(({ object, predicate }) => `${predicate} ${object}`))

  // Two steps: whom they know whom ada knows.
  const theirs = yield* Effect.forEach(known, ({ object }) => query({ predicate: "knows", subject: object }))
  yield* show("two steps from ada", [...new Set(theirs.flat().map(({ object }) => object))])

  yield* remove({ object: "dan", predicate: "knows", subject: "bob" })
  const isKnown = yield* query({ object: "dan", predicate: "knows", subject: "bob" })
  yield* Console.log(`bob knows dan: ${isKnown.length > 0}`)
})

Effect.runPromise(Effect.provide(program, KtCompat.layerMemory))
