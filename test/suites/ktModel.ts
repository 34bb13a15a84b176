/** Random programs, run on KtCompat and on a plain Map of records with expiries: they must agree on every answer. */
import { it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Clock, DateTime, Effect, FastCheck as fc, Option, TestClock, TestContext } from "effect"
import { KtCompat, KtError } from "effect-kv"
import { describeOn, type Engine, memory, postgres } from "../engines.js"
import { collect, databases, start } from "../ktCompat.js"

/** Expire times: seconds from now by the original's number, milliseconds from now, or a word. */
type Expiry =
  | undefined
  | "keep"
  | "never"
  | { readonly after: number }
  | { readonly at: number }
  | { readonly xt: number }

interface Write {
  readonly db: number
  readonly key: string
  readonly value: string
  readonly expiry: Expiry
}

type Command =
  | {
    readonly _tag: "get" | "pop" | "remove" | "exists" | "length" | "expires"
    readonly db: number
    readonly key: string
  }
  | (Write & { readonly _tag: "set" | "add" | "replace" | "append" })
  | { readonly _tag: "setBulkDetails"; readonly writes: ReadonlyArray<Write> }
  | { readonly _tag: "getBulkDetails" | "removeBulkDetails"; readonly at: ReadonlyArray<readonly [number, string]> }
  | { readonly _tag: "cas"; readonly write: Write; readonly expected: string | undefined; readonly removes: boolean }
  | {
    readonly _tag: "increment"
    readonly write: Write
    readonly by: bigint
    readonly orig: bigint | "set" | "try" | undefined
  }
  | { readonly _tag: "touch"; readonly db: number; readonly keys: ReadonlyArray<string>; readonly expiry: Expiry }
  | {
    readonly _tag: "touchRelative"
    readonly db: number
    readonly keys: ReadonlyArray<string>
    readonly seconds: number
  }
  | { readonly _tag: "matchPrefix"; readonly db: number; readonly prefix: string; readonly max: number | undefined }
  | { readonly _tag: "items" | "count" | "size" | "clear" | "vacuum"; readonly db: number }
  | { readonly _tag: "clock"; readonly millis: number }

const db = fc.constantFrom(0, 0, 1)
const key = fc.constantFrom("", "a", "aa", "ab", "b", "é")
const value = fc.constantFrom("", "v", "w", "12345678", "\0\0\0\0\0\0\0\x05")
const expiry: fc.Arbitrary<Expiry> = fc.oneof(
  { arbitrary: fc.constantFrom<Expiry>(undefined, undefined, "keep", "never"), weight: 3 },
  fc.record({ after: fc.integer({ max: 4000, min: 0 }) }),
  fc.record({ at: fc.integer({ max: 4000, min: -1000 }) }),
  fc.record({ xt: fc.constantFrom(0, 1, 2, 0.7, 3.9, -5, -1_600_000_003, 1_600_000_002, 15_552_000, 2 ** 40, 2 ** 63) })
)
const write = fc.record({ db, expiry, key, value })
const by = fc.constantFrom(0n, 1n, -1n, 7n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 63n)

/** Commands of these names, with these fields. */
const any = <const T extends string, A extends object>(tags: ReadonlyArray<T>, fields: fc.Arbitrary<A>) =>
  fc.tuple(fc.constantFrom(...tags), fields).map(([_tag, fields]) => ({ ...fields, _tag }))

const at = fc.record({ db, key })
const keys = fc.array(key, { maxLength: 4 })
const addresses = fc.array(fc.tuple(db, key), { maxLength: 6 })
const orig = fc.oneof(fc.constantFrom<"set" | "try" | undefined>("set", "try", undefined), by)
const seconds = fc.constantFrom(0, 1, -1, 0.25, 1000)
const max = fc.option(fc.integer({ max: 3, min: 0 }), { nil: undefined })

const command: fc.Arbitrary<Command> = fc.oneof(
  { arbitrary: any(["get", "exists", "length", "expires"], at), weight: 2 },
  any(["pop", "remove"], at),
  { arbitrary: any(["set", "add", "replace", "append"], write), weight: 5 },
  any(["setBulkDetails"], fc.record({ writes: fc.array(write, { maxLength: 5 }) })),
  any(["getBulkDetails", "removeBulkDetails"], fc.record({ at: addresses })),
  any(["cas"], fc.record({ expected: fc.option(value, { nil: undefined }), removes: fc.boolean(), write })),
  { arbitrary: any(["increment"], fc.record({ by, orig, write })), weight: 2 },
  any(["touch"], fc.record({ db, expiry, keys })),
  any(["touchRelative"], fc.record({ db, keys, seconds })),
  any(["matchPrefix"], fc.record({ db, max, prefix: key })),
  any(["items", "count", "size", "items", "count", "vacuum", "clear"], fc.record({ db })),
  { arbitrary: any(["clock"], fc.record({ millis: fc.integer({ max: 1500, min: 1 }) })), weight: 2 }
)

// --- The model ---

interface Row {
  readonly value: Buffer
  /** Milliseconds since the epoch; `Infinity`: never. */
  readonly expiresAt: number
}

interface Model {
  now: number
  readonly databases: ReadonlyArray<Map<string, Row>>
}

const rows = (model: Model, db: number): Map<string, Row> => {
  const found = model.databases[db]
  if (found === undefined) throw new Error(`there is no database ${db}`)
  return found
}

const live = (model: Model, db: number, key: string): Row | undefined => {
  const row = rows(model, db).get(key)
  return row !== undefined && row.expiresAt > model.now ? row : undefined
}

const lives = (model: Model, db: number): ReadonlyArray<readonly [string, Row]> =>
  [...rows(model, db)]
    .filter(([, { expiresAt }]) => expiresAt > model.now)
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

/** By the rules of the original: a record lives until its second is over. */
const until = (model: Model, row: Row | undefined, expiry: Expiry, unsaid: "keep" | "never"): number => {
  const said = expiry ?? unsaid
  if (said === "never") return Infinity
  if (said === "keep") return row?.expiresAt ?? Infinity
  if ("after" in said) return model.now + said.after
  if ("at" in said) return start + said.at
  const whole = Math.trunc(said.xt)
  const last = whole < 0 ? -whole : whole >= 15_552_000 ? whole : Math.floor(model.now / 1000) + whole
  return last >= 2 ** 40 - 1 ? Infinity : (last + 1) * 1000
}

const put = (model: Model, { db, expiry, key }: Write, value: Buffer, unsaid: "keep" | "never"): void =>
  void rows(model, db).set(key, { expiresAt: until(model, live(model, db, key), expiry, unsaid), value })

const expiration = (expiresAt: number | undefined): KtCompat.Expiration =>
  expiresAt === undefined
    ? KtCompat.Expiration.Missing()
    : expiresAt === Infinity
    ? KtCompat.Expiration.Persistent()
    : KtCompat.Expiration.Expires({ at: DateTime.unsafeMake(expiresAt) })

const text = (row: Row | undefined): Option.Option<string> =>
  Option.map(Option.fromNullable(row), ({ value }) => value.toString("latin1"))

const isInt64 = (value: bigint): boolean => BigInt.asIntN(64, value) === value

const expected = (model: Model, command: Command): unknown => {
  switch (command._tag) {
    case "get":
      return text(live(model, command.db, command.key))
    case "exists":
      return live(model, command.db, command.key) !== undefined
    case "length":
      return Option.map(Option.fromNullable(live(model, command.db, command.key)), ({ value }) => value.length)
    case "expires":
      return expiration(live(model, command.db, command.key)?.expiresAt)
    case "pop":
    case "remove": {
      const row = live(model, command.db, command.key)
      rows(model, command.db).delete(command.key)
      return command._tag === "pop" ? text(row) : row !== undefined
    }
    case "set":
      return put(model, command, Buffer.from(command.value), "never")
    case "add":
    case "replace": {
      const writes = (live(model, command.db, command.key) === undefined) === (command._tag === "add")
      if (writes) put(model, command, Buffer.from(command.value), "never")
      return writes
    }
    case "append": {
      const before = live(model, command.db, command.key)?.value ?? Buffer.alloc(0)
      return put(model, command, Buffer.concat([before, Buffer.from(command.value)]), "keep")
    }
    case "setBulkDetails": {
      // All keep what was before any of them.
      const before: Model = { databases: model.databases.map((rows) => new Map(rows)), now: model.now }
      for (const write of command.writes) {
        const expiresAt = until(model, live(before, write.db, write.key), write.expiry, "never")
        rows(model, write.db).set(write.key, { expiresAt, value: Buffer.from(write.value) })
      }
      return command.writes.length
    }
    case "getBulkDetails":
      return command.at.flatMap(([db, key]) => {
        const row = live(model, db, key)
        return row === undefined ? [] : [[db, key, row.value.toString("latin1"), row.expiresAt]]
      })
    case "removeBulkDetails":
      return command.at.filter(([db, key]) => {
        const isThere = live(model, db, key) !== undefined
        rows(model, db).delete(key)
        return isThere
      }).length
    case "cas": {
      const { expected, removes, write } = command
      const isExpected = live(model, write.db, write.key)?.value.toString() === expected
      if (isExpected && removes) rows(model, write.db).delete(write.key)
      else if (isExpected) put(model, write, Buffer.from(write.value), "keep")
      return isExpected
    }
    case "increment": {
      const { by, orig, write } = command
      const row = live(model, write.db, write.key)
      if (!isInt64(by) || (typeof orig === "bigint" && !isInt64(orig))) return "Overflow"
      if (orig !== "set" && row === undefined && orig === "try") return "NoRecord"
      if (orig !== "set" && row !== undefined && row.value.length !== 8) return "NotANumber"
      if (orig !== "set" && row !== undefined && by === 0n) return row.value.readBigInt64BE()
      const begin = row?.value.length === 8 ? row.value.readBigInt64BE() : typeof orig === "bigint" ? orig : 0n
      const sum = orig === "set" ? by : begin + by
      if (!isInt64(sum)) return "Overflow"
      const value = Buffer.alloc(8)
      value.writeBigInt64BE(sum)
      put(model, write, value, "keep")
      return sum
    }
    case "touch":
    case "touchRelative": {
      const told = new Map<string, KtCompat.Expiration>()
      for (const key of command.keys) {
        const row = live(model, command.db, key)
        if (row === undefined) continue
        const expiresAt = command._tag === "touch"
          ? until(model, row, command.expiry, "never")
          : row.expiresAt + command.seconds * 1000
        told.set(key, expiration(command._tag === "touch" ? row.expiresAt : expiresAt))
        rows(model, command.db).set(key, { ...row, expiresAt })
      }
      return told
    }
    case "matchPrefix":
      return lives(model, command.db)
        .map(([key]) => key)
        .filter((key) => key.startsWith(command.prefix))
        .slice(0, command.max)
    case "items":
      return lives(model, command.db).map(([key, row]) => [key, row.value.toString("latin1")])
    case "count":
      return lives(model, command.db).length
    case "size":
      return lives(model, command.db).reduce((sum, [key, { value }]) => sum + Buffer.byteLength(key) + value.length, 0)
    case "clear":
      return rows(model, command.db).clear()
    case "vacuum":
      return undefined
    case "clock":
      model.now += command.millis
      return undefined
  }
}

// --- The client ---

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1")
const bytes = (text: string): Uint8Array => Buffer.from(text)

const expireTime = (expiry: Expiry): KtCompat.ExpireTime | undefined =>
  expiry === undefined || typeof expiry === "string"
    ? expiry
    : "after" in expiry
    ? `${expiry.after} millis`
    : "at" in expiry
    ? new Date(start + expiry.at)
    : KtCompat.expire(expiry.xt)

const run = (kt: KtCompat.KtCompat<string, Uint8Array>, command: Command): Effect.Effect<unknown, unknown> => {
  const options = (write: Write) => ({ db: write.db, expireTime: expireTime(write.expiry) })
  switch (command._tag) {
    case "get":
    case "pop":
      return Effect.map(kt[command._tag](command.key, { db: command.db }), Option.map(latin1))
    case "remove":
    case "exists":
    case "length":
    case "expires":
      return kt[command._tag](command.key, { db: command.db })
    case "set":
    case "add":
    case "replace":
    case "append":
      return kt[command._tag](command.key, bytes(command.value), options(command))
    case "setBulkDetails":
      return kt.setBulkDetails(
        command.writes.map((write) => ({ ...options(write), key: write.key, value: bytes(write.value) }))
      )
    case "getBulkDetails":
      return Effect.map(kt.getBulkDetails(command.at), (all) =>
        all.map(({ db, expires, key, value }) => [
          db,
          key,
          latin1(value),
          Option.match(expires, { onNone: () => Infinity, onSome: (at) => at.epochMillis })
        ]))
    case "removeBulkDetails":
      return kt.removeBulkDetails(command.at)
    case "cas": {
      const { expected, removes, write } = command
      return kt.cas(
        write.key,
        Option.map(Option.fromNullable(expected), bytes),
        removes ? Option.none() : Option.some(bytes(write.value)),
        options(write)
      )
    }
    case "increment":
      return Effect.catchIf(
        kt.increment(command.write.key, command.by, { ...options(command.write), orig: command.orig }),
        (error) => error instanceof KtError.KtError,
        ({ reason }) => Effect.succeed(reason)
      )
    case "touch":
      return kt.touchBulk(command.keys, expireTime(command.expiry), { db: command.db })
    case "touchRelative":
      return kt.touchBulkRelative(command.keys, command.seconds, { db: command.db })
    case "matchPrefix":
      return kt.matchPrefix(command.prefix, { db: command.db, max: command.max })
    case "items":
      return Effect.map(
        collect(kt.items({ db: command.db })),
        (all) => all.map(([key, value]) => [key, latin1(value)])
      )
    case "count":
    case "size":
    case "clear":
    case "vacuum":
      return kt[command._tag]({ db: command.db })
    case "clock":
      return Effect.flatMap(Clock.currentTimeMillis, (now) => TestClock.setTime(now + command.millis))
  }
}

export const suite = (engine: Engine) =>
  describeOn(engine, "a model of KtCompat", () => {
    it("agrees on every answer of random programs", () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(command, { maxLength: 40, minLength: 5 }),
          fc.boolean(),
          (commands, isLogged) =>
            Effect.gen(function*() {
              const kt = yield* KtCompat.make({ value: KtCompat.none })
              const model: Model = { databases: [new Map(), new Map()], now: start }
              for (const command of commands) {
                const expectedAnswer = expected(model, command)
                deepStrictEqual(
                  yield* run(kt, command),
                  expectedAnswer,
                  JSON.stringify(command, (_, value: unknown) => typeof value === "bigint" ? `${value}n` : value)
                )
              }
            }).pipe(
              Effect.provide(databases(engine, isLogged ? { updateLog: { serverId: 1 } } : {})),
              (program) => Effect.zipRight(TestClock.setTime(start), program),
              Effect.provide(TestContext.TestContext),
              Effect.runPromise
            )
        ),
        { numRuns: engine === memory ? 150 : engine === postgres ? 15 : 30 }
      ), 60_000)
  })
