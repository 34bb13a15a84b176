/**
 * A leaderboard: a database whose keys are the scores, so that a cursor reads the best ten, and who is next to a player.
 * A procedure of our own moves a player in one transaction.
 *
 *     npx tsx examples/leaderboard.ts
 */
import { Chunk, Console, Data, Effect, Layer, Stream } from "effect"
import { KtCompat, KtTransport, Sqlite, Storage } from "effect-kv"

/** Two databases: how many points each player has, and the players in the order of their points. */
const players = { db: "players" }
const ranking = { db: "ranking" }

/** Keys are in the order of their bytes, so a number is in order if all have the same length. */
const digits = 9
const placeOf = (points: bigint, player: string) => `${String(points).padStart(digits, "0")} ${player}`
const readPlace = (place: string) => `${place.slice(digits + 1)} ${Number(place.slice(0, digits))}`

class OutOfRange extends Data.TaggedError("OutOfRange")<{ readonly points: bigint }> {}

const score = KtCompat.procedure("score", (input, kt) =>
  Effect.gen(function*() {
    const text = (name: string) => new TextDecoder().decode(input.get(name))
    const player = text("player")
    const by = BigInt(text("points"))
    const points = yield* kt.increment(player, by, players)
    // It fails after the points were counted: they are not, then.
    if (points < 0n || points >= 10n ** BigInt(digits)) yield* new OutOfRange({ points })
    yield* kt.remove(placeOf(points - by, player), ranking)
    yield* kt.set(placeOf(points, player), new Uint8Array(), ranking)
    return { points }
  }))

const add = (player: string, points: number) =>
  Effect.flatMap(KtCompat.KtCompat, (kt) => kt.rawScript("score", { player, points: String(points) }))

/** The first `n` places in the direction in which the cursor goes. */
const read = (cursor: KtCompat.Cursor<string, string>, n: number) =>
  Effect.map(
    Stream.runCollect(Stream.take(cursor.entries, n)),
    (entries) => Chunk.toReadonlyArray(entries).map(([place]) => place)
  )

const best = (n: number) =>
  Effect.gen(function*() {
    const cursor = yield* (yield* KtCompat.KtCompat).cursor(ranking)
    yield* cursor.jumpBack()
    return yield* read(cursor, n)
  }).pipe(Effect.scoped)

/** A player between the `n` who are above and the `n` who are below. */
const around = (player: string, n: number) =>
  Effect.gen(function*() {
    const kt = yield* KtCompat.KtCompat
    const cursor = yield* kt.cursor(ranking)
    const place = placeOf(yield* kt.increment(player, 0, { ...players, orig: "try" }), player)
    yield* cursor.jump(place)
    const above = yield* read(cursor, n + 1)
    yield* cursor.jumpBack(place)
    const below = yield* read(cursor, n + 1)
    return [...above.reverse(), ...below.slice(1)]
  }).pipe(Effect.scoped)

const program = Effect.gen(function*() {
  const names = ["ada", "bob", "cleo", "dan", "eve", "finn", "gus", "hana", "ida", "jo", "kim", "lea"]
  yield* Effect.forEach(names, (name, i) => add(name, (i + 1) * 10))
  yield* Console.log(`the best ten: ${(yield* best(10)).map(readPlace).join(", ")}`)

  // Twelve games of ada end at the same time, and none is lost.
  yield* Effect.forEach(names, () => add("ada", 8), { concurrency: "unbounded" })
  yield* Console.log(`the best three: ${(yield* best(3)).map(readPlace).join(", ")}`)
  yield* Console.log(`around ada: ${(yield* around("ada", 2)).map(readPlace).join(", ")}`)

  yield* add("ada", -1000).pipe(
    Effect.catchTag(
      "KtError",
      ({ cause, reason }) =>
        Console.log(`refused: ${reason}, ${cause instanceof OutOfRange ? cause._tag : "of another cause"}`)
    )
  )
  yield* Console.log(`as before: ${(yield* around("ada", 1)).map(readPlace).join(", ")}`)
})

const Live = KtCompat.layer().pipe(
  Layer.provide(KtTransport.layer({ databases: [players.db, ranking.db], procedures: [score] })),
  Layer.provide(Storage.layer()),
  Layer.provide(Sqlite.layer({ filename: ":memory:" }))
)

Effect.runPromise(Effect.provide(program, Live))
