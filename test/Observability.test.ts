/** What can be seen of a store from outside: metrics and spans. */
import { assert, it, vi } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Deferred, Effect, Exit, Fiber, Metric, Option, TestClock, Tracer } from "effect"
import { Codec, Storage, StorageError, TtlStore } from "effect-kv"
import { bareClient, describeOn, engines, memory, postgres } from "./engines.js"

const turns = Effect.promise(async () => {
  for (let i = 0; i < 30; i++) await new Promise((resolve) => setImmediate(resolve))
})

/** Metrics are counted over the whole process, so every test has keyspaces of its own. */
let names = 0

const make = (keyspace: string) => TtlStore.make({ keyspace, value: Codec.text })

/** What was counted for a keyspace. */
const counted = (keyspace: string) =>
  Effect.gen(function*() {
    const { expirations, hits, misses, writes } = Storage.metrics
    const of = (metric: Metric.Metric.Counter<number>) =>
      Effect.map(Metric.value(Metric.tagged(metric, "keyspace", keyspace)), ({ count }) => count)
    return {
      expirations: yield* of(expirations),
      hits: yield* of(hits),
      misses: yield* of(misses),
      writes: yield* of(writes)
    }
  })

for (const engine of engines) {
  const { layer } = engine

  describeOn(engine, "metrics", () => {
    const test = <E>(
      title: string,
      body: (keyspace: string, store: TtlStore.TtlStore<string, string>) => Effect.Effect<void, E, Storage.Storage>
    ) =>
      it.effect(title, () => {
        const keyspace = `metrics ${++names}`
        return Effect.provide(Effect.flatMap(make(keyspace), (store) => body(keyspace, store)), layer)
      })

    test("count the keys that were read, found or not", (keyspace, store) =>
      Effect.gen(function*() {
        yield* store.setMany([["a", "1"], ["b", "2"], ["expired", "3", { timeToLive: 0 }]])
        yield* store.get("a")
        yield* store.get("x")
        yield* store.get("expired")
        yield* Effect.flip(store.getOrFail("x"))
        yield* store.getOrFail("b")
        yield* store.getMany(["a", "x", "b", "a"])
        const { hits, misses } = yield* counted(keyspace)
        deepStrictEqual({ hits, misses }, { hits: 5, misses: 4 })
      }))

    test("count the entries that were set or removed", (keyspace, store) =>
      Effect.gen(function*() {
        const writes = (self: Effect.Effect<unknown, unknown>) =>
          Effect.gen(function*() {
            const before = (yield* counted(keyspace)).writes
            yield* self
            return (yield* counted(keyspace)).writes - before
          })
        assert.strictEqual(yield* writes(store.set("a", "1")), 1)
        assert.strictEqual(yield* writes(store.setMany([["b", "1"], ["c", "1"], ["d", "1"]])), 3)
        assert.strictEqual(yield* writes(store.insert("a", "2")), 0)
        assert.strictEqual(yield* writes(store.replace("x", "2")), 0)
        assert.strictEqual(yield* writes(store.update("a", (value) => `${value}!`)), 1)
        assert.strictEqual(yield* writes(store.update("x", (value) => `${value}!`)), 0)
        assert.strictEqual(yield* writes(store.remove("a")), 1)
        assert.strictEqual(yield* writes(store.remove("a")), 0)
        assert.strictEqual(yield* writes(store.removeMany(["b", "x"])), 1)
        assert.strictEqual(yield* writes(store.take("c")), 1)
        assert.strictEqual(yield* writes(store.get("d")), 0)
        assert.strictEqual(yield* writes(store.clear()), 1)
        assert.strictEqual(yield* writes(Effect.flip(store.set("a", "\uD800"))), 0)
      }))

    test("do not count what was not there to be removed", (keyspace, store) =>
      Effect.gen(function*() {
        yield* store.take("x")
        yield* store.compareAndSet("x", Option.none(), Option.none())
        assert.strictEqual((yield* counted(keyspace)).writes, 0)
      }))

    test("count expired entries that were removed, and sweeps", (keyspace, store) =>
      Effect.gen(function*() {
        const sweeps = Effect.map(
          Metric.value(Metric.tagged(Storage.metrics.sweepDuration, "keyspace", keyspace)),
          ({ count }) => count
        )
        yield* store.setMany(Array.from({ length: 50 }, (_, i) => [`${i}`, "v"]), { timeToLive: 5 })
        yield* store.sweep
        assert.strictEqual((yield* counted(keyspace)).expirations, 0)
        assert.strictEqual(yield* sweeps, 1)
        yield* TestClock.adjust(5)
        yield* store.sweep
        yield* store.sweep
        const { expirations, writes } = yield* counted(keyspace)
        deepStrictEqual({ expirations, writes }, { expirations: 50, writes: 50 })
        assert.strictEqual(yield* sweeps, 3)
      }))

    // On a bare client the wait is the client's; on PostgreSQL nobody waits for somebody else's transaction.
    if (engine !== bareClient && engine !== postgres) {
      test("record how long an operation waited for a lock, if it did", (keyspace, store) =>
        Effect.gen(function*() {
          const waits = Effect.map(
            Metric.value(Metric.tagged(Storage.metrics.lockWait, "keyspace", keyspace)),
            ({ count }) => count
          )
          yield* store.set("k", "v")
          assert.strictEqual(yield* waits, 0)
          const gate = yield* Deferred.make<void>()
          const holder = yield* Effect.fork(store.transaction(gate))
          yield* turns
          const waiting = yield* Effect.fork(store.get("k"))
          yield* turns
          yield* Deferred.succeed(gate, undefined)
          yield* Fiber.join(holder)
          deepStrictEqual(yield* Fiber.join(waiting), Option.some("v"))
          assert.strictEqual(yield* waits, 1)
        }))
    }
  })

  describeOn(engine, "spans", () => {
    const system = engine === memory ? "memory" : engine === postgres ? "postgresql" : "sqlite"

    interface Seen {
      readonly name: string
      readonly parent: string | undefined
      readonly attributes: Map<string, unknown>
      readonly kind: Tracer.SpanKind
      exit: Exit.Exit<unknown, unknown> | undefined
    }

    const collecting = () => {
      const seen: Array<Seen> = []
      const tracer = Tracer.make({
        context: (f) => f(),
        span: (name, parent, context, links, startTime, kind) => {
          const attributes = new Map<string, unknown>()
          const above = Option.getOrUndefined(parent)
          const span: Seen = {
            attributes,
            exit: undefined,
            kind,
            name,
            parent: above?._tag === "Span" ? above.name : undefined
          }
          seen.push(span)
          const id = String(seen.length)
          let status: Tracer.SpanStatus = { _tag: "Started", startTime }
          return {
            _tag: "Span",
            addLinks: () => undefined,
            attribute: (key, value) => {
              attributes.set(key, value)
            },
            attributes,
            context,
            end: (endTime, exit) => {
              status = { _tag: "Ended", endTime, exit, startTime }
              span.exit = exit
            },
            event: () => undefined,
            kind,
            links,
            name,
            parent,
            sampled: true,
            spanId: id,
            get status() {
              return status
            },
            traceId: "trace"
          }
        }
      })
      return { seen, tracer }
    }

    it.effect("are named after the operation and the keyspace, and say what and where", () =>
      Effect.gen(function*() {
        const store = yield* make("spans")
        const { seen, tracer } = collecting()
        yield* Effect.all([
          store.get("k"),
          store.getMany(["k"]),
          store.set("k", "v"),
          store.setMany([["k", "v"]]),
          store.remove("k"),
          store.removeMany(["k"]),
          store.clear()
        ]).pipe(Effect.withTracer(tracer))
        const methods = ["get", "getMany", "set", "setMany", "remove", "removeMany", "clear"]
        deepStrictEqual(seen.map(({ name }) => name), methods.map((method) => `${method} spans`))
        seen.forEach(({ attributes, exit, kind }, i) => {
          assert.strictEqual(attributes.get("db.system.name"), system)
          assert.strictEqual(attributes.get("db.operation.name"), methods[i])
          assert.strictEqual(attributes.get("db.collection.name"), "spans")
          assert.strictEqual(kind, "client")
          assert(exit !== undefined && Exit.isSuccess(exit))
        })
        // Neither keys nor values, which may be secrets.
        assert.isFalse(seen.some(({ attributes }) => ["k", "v"].some((_) => [...attributes.values()].includes(_))))
      }).pipe(Effect.provide(layer)))

    it.effect("are children of the span of their transaction, and that of the program's", () =>
      Effect.gen(function*() {
        const store = yield* make("spans")
        const { seen, tracer } = collecting()
        yield* store.transaction(Effect.zipRight(store.set("k", "v"), store.transaction(store.get("k")))).pipe(
          Effect.withSpan("program"),
          Effect.withTracer(tracer)
        )
        deepStrictEqual(seen.map(({ name, parent }) => [name, parent]), [
          ["program", undefined],
          ["transaction", "program"],
          ["set spans", "transaction"],
          ["transaction", "transaction"],
          ["get spans", "transaction"]
        ])
        assert.isFalse(seen[1]!.attributes.has("db.collection.name"))
        assert.strictEqual(seen[1]!.attributes.get("db.operation.name"), "transaction")
      }).pipe(Effect.provide(layer)))

    it.effect("end with the failure", () =>
      Effect.gen(function*() {
        const storage = yield* Storage.Storage
        const store = yield* make("spans")
        const { seen, tracer } = collecting()
        const late = yield* Deferred.make<void>()
        const fiber = yield* storage.transaction(
          Effect.forkDaemon(Effect.zipRight(late, Effect.withTracer(Effect.flip(store.get("k")), tracer)))
        )
        yield* Deferred.succeed(late, undefined)
        const error = yield* Fiber.join(fiber)
        assert(error instanceof StorageError.StorageError && error.reason === "Closed")
        deepStrictEqual(seen.map(({ exit, name }) => [name, exit]), [["get spans", Exit.fail(error)]])
        yield* Effect.flip(Effect.withTracer(store.transaction(Effect.fail("no")), tracer))
        deepStrictEqual(seen[1]?.exit, Exit.fail("no"))
      }).pipe(Effect.provide(layer)))

    it.effect("of writes that share a transaction are one for each", () =>
      Effect.gen(function*() {
        const store = yield* make("spans")
        const { seen, tracer } = collecting()
        yield* Effect.forEach([1, 2, 3], (i) => Effect.withSpan(store.set(`${i}`, "v"), `caller ${i}`), {
          concurrency: "unbounded"
        }).pipe(Effect.withTracer(tracer))
        const own = seen.filter(({ attributes }) => attributes.has("db.operation.name"))
        deepStrictEqual(own.map(({ name, parent }) => [name, parent]).sort(), [
          ["set spans", "caller 1"],
          ["set spans", "caller 2"],
          ["set spans", "caller 3"]
        ])
      }).pipe(Effect.provide(layer)))

    it.effect("are not made where tracing is off, or nobody collects them", () =>
      Effect.gen(function*() {
        const store = yield* make("spans")
        const { seen, tracer } = collecting()
        const all = Effect.all([store.set("k", "v"), store.get("k"), store.transaction(store.remove("k"))])
        yield* all.pipe(Effect.withTracerEnabled(false), Effect.withTracer(tracer))
        deepStrictEqual(seen, [])
        const own = yield* Effect.tracer
        const spy = vi.spyOn(own, "span")
        yield* Effect.ensuring(
          all,
          Effect.sync(() => {
            const calls = spy.mock.calls.map(([name]) => name)
            spy.mockRestore()
            deepStrictEqual(calls, [])
          })
        )
      }).pipe(Effect.provide(layer)))
  })
}
