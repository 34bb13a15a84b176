/**
 * KtCompat in this process, in memory and on SQLite in memory: `get` and `set` against a plain `Map` behind an Effect, how
 * many records and items a second, whether a queue stays as quick when it is long, and what the update log costs.
 *
 *     npm run bench -- kt
 *
 * It takes one or two minutes and 1.3 GB. It says how long it took to fill the databases of a million: that is not measured
 * in turns. A rate that is aimed for is the median's.
 */
import { Context, Effect, Fiber, Layer, Option, Runtime, Stream } from "effect"
import { KtCompat, KtTransport, Sqlite } from "effect-kv"
import { measure, printAims, race, type Row, type Runner, say, table } from "./harness.js"
import { loop, storageLayer } from "./stores.js"
import { padded } from "./values.js"

type Client = KtCompat.KtCompat<string, string>

const engines = ["memory", "SQLite"] as const
type Engine = typeof engines[number]
type Each<A> = Readonly<Record<Engine, A>>

const each = <A, E, R>(f: (engine: Engine) => Effect.Effect<A, E, R>): Effect.Effect<Each<A>, E, R> =>
  Effect.all({ memory: f("memory"), SQLite: f("SQLite") })

const transport = (engine: Engine, options?: KtTransport.Options) =>
  engine === "memory"
    ? KtTransport.layerDatabases(["%"], options)
    : KtTransport.layer(options).pipe(
      Layer.provide(storageLayer),
      Layer.provide(Sqlite.layer({ filename: ":memory:" }))
    )

/** A client of a new and empty database. */
const open = (engine: Engine, options?: KtTransport.Options) =>
  Effect.map(
    Layer.build(Layer.provide(KtCompat.layer(), Layer.fresh(transport(engine, options)))),
    (context): Client => Context.get(context, KtCompat.KtCompat)
  )

// --- What is stored ---

const thousand = Array.from({ length: 1000 }, (_, i) => padded((i * 7919) % 1000))
const hundredThousand = 100_000
const million = 1_000_000

let fresh = 0

/** A new one of 20 to 100 bytes. */
const value = (): string => {
  const number = fresh++
  return `${number}:`.padEnd(20 + (number % 81), "x")
}

const chunk = 10_000

/** The first keys and numbers, as many at a time as one bulk takes. */
const chunks = (count: number): ReadonlyArray<ReadonlyArray<string>> =>
  Array.from(
    { length: Math.ceil(count / chunk) },
    (_, at) => Array.from({ length: Math.min(chunk, count - at * chunk) }, (_, i) => padded(at * chunk + i))
  )

const fill = (kt: Client, count: number) =>
  Effect.forEach(chunks(count), (keys) => kt.setBulk(keys.map((key) => [key, value()] as const)), { discard: true })

const enqueue = (kt: Client, count: number) =>
  Effect.forEach(chunks(count), (keys) => kt.Queue("queue").extend(keys.map(value)), { discard: true })

/** Long work that is not measured in turns is told, so that it is seen if it gets out of hand. */
const timed = <A, E, R>(what: string, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const start = performance.now()
    return Effect.tap(
      self,
      () => Effect.sync(() => say(`${what}: ${((performance.now() - start) / 1000).toFixed(1)} s`))
    )
  })

const expect = (what: string, found: number, wanted: number) =>
  found === wanted ? Effect.void : Effect.dieMessage(`${what}: ${found}, and not ${wanted}`)

// --- What is done ---

/** What is measured on both engines. */
interface Task {
  readonly name: string
  /** How many a run does. */
  readonly operations: number
  readonly run: (kt: Client) => Effect.Effect<unknown, unknown>
  /** Not timed. */
  readonly before?: (kt: Client) => Effect.Effect<unknown, unknown>
  /** How many a second are aimed for, at least. */
  readonly aim?: Partial<Each<number>>
}

const runners = (task: Task, clients: Each<Client>) =>
  Effect.map(Effect.runtime(), (runtime) => {
    const run = (self: Effect.Effect<unknown, unknown>) => Runtime.runPromise(runtime)(self)
    const { before, operations } = task
    return engines.map((engine): Runner => ({
      operations,
      run: () => run(task.run(clients[engine])),
      ...(before === undefined ? {} : { before: () => run(before(clients[engine])) })
    }))
  })

const perSecond = (microseconds: number): string => Math.round(1e6 / microseconds).toLocaleString("en")

/** The lines of a table, by its header. */
const header = ["operation", ...engines.flatMap((engine) => [`${engine} us`, "a second", "aim"])]

const line = (task: Task, clients: Each<Client>) =>
  Effect.gen(function*() {
    const sides = yield* runners(task, clients)
    const times = yield* Effect.promise(() => race(sides, 1_000_000))
    return [
      task.name,
      ...engines.flatMap((engine, i) => {
        const time = times[i] ?? NaN
        const aim = task.aim?.[engine]
        return [
          time.toFixed(2),
          perSecond(time),
          aim === undefined ? "" : aim.toLocaleString("en") + (1e6 / time >= aim ? "" : "  missed")
        ]
      })
    ]
  })

/** One after the other, as often as that. */
const times = (count: number, self: (i: number) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    for (let i = 0; i < count; i++) yield* self(i)
  })

const pairs = 500

/** Adds at the tail and takes the head: the queue stays as long as it is. */
const adding = (kt: Client) => {
  const queue = kt.Queue("queue")
  return times(pairs, () => Effect.zipRight(queue.add(value()), queue.pop()))
}

const handOvers = 200

/** Two fibers, of which each waits for what the other one adds. */
const handingOver = (kt: Client) =>
  Effect.gen(function*() {
    const there = kt.Queue("there")
    const back = kt.Queue("back")
    const other = yield* Effect.fork(times(handOvers, () => Effect.zipRight(there.bpop(), back.add("back"))))
    yield* times(handOvers, () => Effect.zipRight(there.add("there"), back.bpop()))
    yield* Fiber.join(other)
  })

const lists = thousand.slice(0, 200)
const hundred = Array.from({ length: 100 }, (_, i) => String(i))

const small: ReadonlyArray<Task> = [
  { name: "get", operations: thousand.length, run: (kt) => loop(thousand, (key) => kt.get(key)) },
  { name: "set", operations: thousand.length, run: (kt) => loop(thousand, (key) => kt.set(key, value())) },
  {
    aim: { memory: 300_000 },
    name: "setBulk of 1,000, a record",
    operations: thousand.length,
    run: (kt) => Effect.suspend(() => kt.setBulk(thousand.map((key) => [key, value()] as const)))
  },
  {
    aim: { memory: 300_000 },
    name: "getBulk of 1,000, a record",
    operations: thousand.length,
    run: (kt) => Effect.flatMap(kt.getBulk(thousand), ({ size }) => expect("getBulk", size, thousand.length))
  },
  { name: "increment", operations: thousand.length, run: (kt) => loop(thousand, (key) => kt.increment(`n${key}`)) },
  {
    before: (kt) => kt.Hash("hash").setRaw(hundred.map((name) => [name, value()] as const)),
    name: "Hash.set among 100 fields",
    operations: hundred.length,
    run: (kt) => loop(hundred, (name) => kt.Hash("hash").set(name, value()))
  },
  {
    before: (kt) => loop(lists, (key) => kt.List(`list${key}`).setRaw(hundred.map(value))),
    name: "List.append to 100",
    operations: lists.length,
    run: (kt) => loop(lists, (key) => kt.List(`list${key}`).append(value()))
  },
  {
    name: "bpop, from add to the other fiber",
    operations: 2 * handOvers,
    run: handingOver
  }
]

const scans: ReadonlyArray<Task> = [
  {
    aim: { memory: 200_000 },
    name: "cursor.entries of 100,000, a record",
    operations: hundredThousand,
    run: (kt) =>
      Effect.scoped(Effect.gen(function*() {
        const cursor = yield* kt.cursor()
        yield* cursor.jump()
        yield* expect("entries", yield* Stream.runCount(cursor.entries), hundredThousand)
      }))
  },
  {
    aim: { memory: 200_000 },
    name: "cursor.get with step of 100,000, a record",
    operations: hundredThousand,
    run: (kt) =>
      Effect.scoped(Effect.gen(function*() {
        const cursor = yield* kt.cursor()
        yield* cursor.jump()
        let count = 0
        while (Option.isSome(yield* cursor.get({ step: true }))) count++
        yield* expect("get with step", count, hundredThousand)
      }))
  }
]

const matches = 50
let matched = 0

/** Keys have eight digits, so that what begins with six of them are a hundred. */
const matching: Task = {
  aim: { memory: 1000, SQLite: 1000 },
  name: "matchPrefix of 100 among 1,000,000 keys",
  operations: matches,
  run: (kt) =>
    times(matches, () => {
      const prefix = padded((matched++ * 7919) % (million / 100) * 100).slice(0, -2)
      return Effect.flatMap(kt.matchPrefix(prefix), ({ length }) => expect("matchPrefix", length, 100))
    })
}

// --- The tables ---

const aimOfMap = 8
const reads = 10_000
const often = Array.from({ length: reads }, (_, i) => thousand[i % thousand.length] ?? "")

const againstMap = Effect.gen(function*() {
  const clients = yield* each((engine) => open(engine))
  const map = new Map(thousand.map((key) => [key, value()]))
  for (const engine of engines) yield* clients[engine].setBulk(map)
  const rows = engines.flatMap((engine): ReadonlyArray<Row> => {
    const kt = clients[engine]
    const target = engine === "memory" ? { target: aimOfMap } : {}
    return [
      {
        name: `get, ${engine}`,
        operations: reads,
        ours: loop(often, (key) => kt.get(key)),
        raw: loop(often, (key) => Effect.sync(() => Option.fromNullable(map.get(key)))),
        rounds: 21,
        ...target
      },
      {
        name: `set, ${engine}`,
        operations: reads,
        ours: loop(often, (key) => kt.set(key, value())),
        raw: loop(often, (key) => {
          const next = value()
          return Effect.sync(() => map.set(key, next))
        }),
        rounds: 21,
        ...target
      }
    ]
  })
  printAims(yield* Effect.forEach(rows, measure), "Map")
})

const rates = Effect.gen(function*() {
  const lines = [header]
  yield* Effect.scoped(Effect.gen(function*() {
    const clients = yield* each((engine) => open(engine))
    for (const engine of engines) yield* fill(clients[engine], thousand.length)
    for (const task of small) lines.push(yield* line(task, clients))
  }))
  yield* Effect.scoped(Effect.gen(function*() {
    const clients = yield* each((engine) => open(engine))
    for (const engine of engines) yield* fill(clients[engine], hundredThousand)
    for (const task of scans) lines.push(yield* line(task, clients))
  }))
  yield* Effect.scoped(Effect.gen(function*() {
    const clients = yield* each((engine) => open(engine))
    for (const engine of engines) {
      yield* timed(`a million keys by setBulk, ${engine}`, fill(clients[engine], million))
    }
    lines.push(yield* line(matching, clients))
  }))
  table(lines)
})

const lengths = [1000, hundredThousand, million]
const aimOfPairs = 15_000
/** How much longer a pair may take in the longest queue than in the shortest: still flat. */
const aimOfFlat = 1.5

/** All lengths of an engine take turns, each in a database of its own. */
const queues = (engine: Engine) =>
  Effect.gen(function*() {
    const run = Runtime.runPromise(yield* Effect.runtime())
    const clients = yield* Effect.forEach(lengths, (length) =>
      Effect.tap(open(engine), (kt) =>
        length === million
          ? timed(`a million items by Queue.extend, ${engine}`, enqueue(kt, length))
          : enqueue(kt, length)))
    const found = yield* Effect.promise(() =>
      race(clients.map((kt): Runner => ({ operations: pairs, run: () => run(adding(kt)) })), 1_500_000)
    )
    for (const [i, kt] of clients.entries()) {
      yield* expect("queued in the end", yield* kt.Queue("queue").count, lengths[i] ?? NaN)
    }
    const [shortest = NaN] = found
    return lengths.map((length, i) => {
      const time = found[i] ?? NaN
      const rate = engine === "SQLite" ? aimOfPairs : undefined
      const ratio = time / shortest
      return [
        `add and pop among ${length.toLocaleString("en")}, ${engine}`,
        time.toFixed(2),
        perSecond(time),
        rate === undefined ? "" : rate.toLocaleString("en") + (1e6 / time >= rate ? "" : "  missed"),
        ratio.toFixed(2),
        i === 0 ? "" : aimOfFlat.toFixed(2) + (ratio <= aimOfFlat ? "" : "  missed")
      ]
    })
  })

const queued = Effect.gen(function*() {
  const lines = yield* Effect.forEach(engines, (engine) => Effect.scoped(queues(engine)))
  table([
    ["a pair", "us", "a second", "aim", `to ${lengths[0]?.toLocaleString("en")}`, "aim"],
    ...lines.flat()
  ])
})

const updateLog = Effect.gen(function*() {
  const rows = yield* Effect.forEach(engines, (engine) =>
    Effect.gen(function*() {
      const off = yield* open(engine)
      const on = yield* open(engine, { updateLog: { serverId: 1 } })
      const compared = (name: string, operations: number, run: Task["run"]): Row => ({
        name: `${name}, ${engine}`,
        operations,
        ours: run(on),
        raw: run(off)
      })
      return [
        compared("set", thousand.length, (kt) => loop(thousand, (key) => kt.set(key, value()))),
        compared(
          "setBulk of 1,000, a record",
          thousand.length,
          (kt) => Effect.suspend(() => kt.setBulk(thousand.map((key) => [key, value()] as const)))
        ),
        compared("add and pop", pairs, adding)
      ]
    }))
  printAims(yield* Effect.forEach(rows.flat(), measure), "without a log")
})

export const kt = () =>
  Effect.gen(function*() {
    yield* Effect.scoped(againstMap)
    say("")
    yield* rates
    say("")
    yield* queued
    say("\nWith an update log against without one\n")
    yield* Effect.scoped(updateLog)
  })
