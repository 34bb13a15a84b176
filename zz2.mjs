var __defProp = Object.defineProperty;
var __export = (target, all4) => {
  for (var name in all4)
    __defProp(target, name, { get: all4[name], enumerable: true });
};

// zz2.ts
import { Effect as Effect37, Schema as Schema5, Fiber as Fiber3, Deferred as Deferred2 } from "effect";

// src/Codec.ts
import * as Data from "effect/Data";
import * as Effect2 from "effect/Effect";
import * as Either2 from "effect/Either";
import * as Exit2 from "effect/Exit";
import * as ParseResult from "effect/ParseResult";
import * as Redacted from "effect/Redacted";
import * as Schema from "effect/Schema";

// src/internal/codec/refusal.ts
var refuseAt = (what, format3, path2) => {
  throw new Error(`${what} is not ${format3}${path2 === "" ? "" : ` (at ${path2})`}; give it a form by the schema`);
};
var nameOf = (instance) => {
  const { constructor } = instance;
  return `an instance of ${typeof constructor === "function" ? constructor.name : "an unnamed class"}`;
};

// src/internal/codec/canonicalJson.ts
var print = (value) => printAt(value, "");
var printAt = (value, path2) => {
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) refuse("a string with a lone surrogate", path2);
      return JSON.stringify(value);
    case "number":
      if (!Number.isFinite(value)) refuse(String(value), path2);
      return JSON.stringify(value);
    case "boolean":
      return value ? "true" : "false";
    case "object":
      return value === null ? "null" : Array.isArray(value) ? printArray(value, path2) : printObject(value, path2);
    default:
      return refuse(typeof value, path2);
  }
};
var printArray = (items, path2) => {
  let out = "";
  for (let i = 0; i < items.length; i++) out += (i === 0 ? "" : ",") + printAt(items[i], `${path2}[${i}]`);
  return `[${out}]`;
};
var printObject = (value, path2) => {
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    refuse(nameOf(value), path2);
  }
  let out = "";
  for (const [key, member] of Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1)) {
    if (member === void 0) continue;
    out += `${out === "" ? "" : ","}${printAt(key, path2)}:${printAt(member, `${path2}.${key}`)}`;
  }
  return `{${out}}`;
};
var refuse = (what, path2) => refuseAt(what, "JSON", path2);

// src/internal/done.ts
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Either from "effect/Either";
import * as Exit from "effect/Exit";
var isDone = (self) => Exit.isExit(self);
var andThen = (self, f) => isDone(self) ? Exit.isSuccess(self) ? f(self.value) : Exit.failCause(self.cause) : Effect.flatMap(self, f);
var providing = (context5) => (self) => isDone(self) ? self : Effect.mapInputContext(self, (own) => Context.merge(own, context5));
var fromParser = (result, onFailure, onSuccess) => isEither2(result) ? Either.isRight(result) ? onSuccess(result.right) : Exit.fail(onFailure(result.left)) : Effect.flatMap(Effect.mapError(result, onFailure), onSuccess);
var isEither2 = (result) => Either.isEither(result);

// src/Codec.ts
var TypeId = "~effect-kv/Codec";
var CodecError = class extends Data.TaggedError("CodecError") {
  get message() {
    const place = `key ${JSON.stringify(this.key)} in keyspace ${JSON.stringify(this.keyspace)}`;
    return this.operation === "encode" ? `cannot encode the value for ${place}: ${this.detail}` : `cannot decode what is stored at ${place}: ${this.detail}
If the schema has changed, give new fields a default, accept both forms, or set onDecodeFailure to "miss"`;
  }
};
var make = (codec) => ({ [TypeId]: TypeId, ...codec, bindsToKey: codec.bindsToKey ?? false });
var failure = (operation, at, detail, more) => new CodecError({ ...at, detail, operation, ...more });
var json = (schema) => ofSchema(schema, {
  name: "JSON",
  parse: (stored) => {
    if (typeof stored !== "string") throw new Error("bytes are stored there, and JSON is text");
    return stored === "" ? void 0 : JSON.parse(stored);
  },
  print: (encoded) => encoded === void 0 ? "" : print(encoded)
});
var ofSchema = (schema, { name, parse: parse4, print: print4 }) => {
  const encode3 = ParseResult.encode(schema);
  const decode2 = ParseResult.decodeUnknown(schema);
  const misfit = (operation, at) => (issue) => failure(operation, at, ParseResult.TreeFormatter.formatIssueSync(issue), { issue });
  return make({
    decode: (stored, at) => {
      let parsed;
      try {
        parsed = parse4(stored);
      } catch (cause) {
        return Exit2.fail(failure("decode", at, `not ${name}: ${String(cause)}`, { cause }));
      }
      return orThrown("decode", at, () => fromParser(decode2(parsed), misfit("decode", at), Exit2.succeed));
    },
    encode: (value, at) => orThrown("encode", at, () => fromParser(encode3(value), misfit("encode", at), (encoded) => {
      try {
        return Exit2.succeed(print4(encoded));
      } catch (cause) {
        return Exit2.fail(
          failure("encode", at, `${cause instanceof Error ? cause.message : String(cause)}`, { cause })
        );
      }
    })),
    equivalence: lazyEquivalence(schema)
  });
};
var orThrown = (operation, at, run2) => {
  try {
    return run2();
  } catch (cause) {
    return Exit2.fail(failure(operation, at, `the codec threw ${String(cause)}`, { cause }));
  }
};
var lazyEquivalence = (schema) => {
  let compiled;
  return (a, b) => (compiled ??= Schema.equivalence(schema))(a, b);
};
var text = make({
  decode: (stored, at) => typeof stored === "string" ? Exit2.succeed(stored) : Exit2.fail(failure("decode", at, "bytes are stored there, not text")),
  encode: (value, at) => typeof value !== "string" ? Exit2.fail(failure("encode", at, `${typeof value} is not a string`)) : value.isWellFormed() ? Exit2.succeed(value) : Exit2.fail(failure("encode", at, "the text contains a lone surrogate, which has no UTF-8 form")),
  equivalence: (a, b) => a === b
});
var bytes = make({
  decode: (stored, at) => typeof stored === "string" ? Exit2.fail(failure("decode", at, "text is stored there, not bytes")) : Exit2.succeed(stored),
  encode: (value, at) => value instanceof Uint8Array ? Exit2.succeed(value) : Exit2.fail(failure("encode", at, `${typeof value} is not a Uint8Array`)),
  equivalence: (a, b) => Buffer.compare(a, b) === 0
});
var raw = make({
  decode: Exit2.succeed,
  encode: (value, at) => typeof value === "string" ? text.encode(value, at) : bytes.encode(value, at),
  equivalence: (a, b) => typeof a === "string" || typeof b === "string" ? a === b : bytes.equivalence(a, b)
});

// src/Storage.ts
var Storage_exports = {};
__export(Storage_exports, {
  Storage: () => Storage,
  exportEntries: () => exportEntries2,
  importEntries: () => importEntries2,
  keep: () => keep2,
  layer: () => layer,
  layerMemory: () => layerMemory,
  metrics: () => metrics2,
  put: () => put,
  remove: () => remove
});
import * as Context6 from "effect/Context";
import * as Effect19 from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Stream4 from "effect/Stream";

// src/internal/storage/memory.ts
import * as Duration4 from "effect/Duration";
import * as Effect12 from "effect/Effect";
import * as Option2 from "effect/Option";

// src/internal/storage/access.ts
import * as Cause from "effect/Cause";
import * as Context4 from "effect/Context";
import * as Duration2 from "effect/Duration";
import * as Effect7 from "effect/Effect";
import * as Either3 from "effect/Either";
import * as Exit3 from "effect/Exit";
import * as Fiber from "effect/Fiber";
import { identity } from "effect/Function";
import * as Random from "effect/Random";
import * as Runtime from "effect/Runtime";

// src/internal/storage/call.ts
import * as Effect3 from "effect/Effect";

// src/StorageError.ts
import * as Data2 from "effect/Data";
var StorageError = class extends Data2.TaggedError("StorageError") {
  get message() {
    const where3 = this.keyspace === void 0 ? "" : ` in keyspace ${show(this.keyspace)}${this.key === void 0 ? "" : ` at key ${show(this.key)}`}`;
    return `${this.reason}: ${this.method}${where3}: ${this.detail}`;
  }
};
var InvalidKey = class extends Data2.TaggedError("InvalidKey") {
  get message() {
    return `${show(this.key)} cannot be a key in keyspace ${show(this.keyspace)}: ${this.issue}`;
  }
};
var ImportError = class extends Data2.TaggedError("ImportError") {
  get message() {
    return `line ${this.line}: ${this.issue}; imported until then: ${this.imported}`;
  }
};
var KeyNotFound = class extends Data2.TaggedError("KeyNotFound") {
  get message() {
    return `there is no key ${show(this.key)} in keyspace ${show(this.keyspace)}`;
  }
};
var CounterError = class extends Data2.TaggedError("CounterError") {
  get message() {
    const because = {
      Mixed: "mixes a bigint and a number; use one of them for the whole store",
      NotFinite: "is not a finite number",
      Overflow: typeof this.by === "bigint" ? "goes beyond 64 bits" : "goes beyond 2^53 - 1, up to which numbers are exact; use a bigint counter"
    };
    return `${this.current} + ${this.by} at key ${show(this.key)} in keyspace ${show(this.keyspace)} ${because[this.reason]}`;
  }
};
var shown = 80;
var show = (value) => {
  if (value instanceof Uint8Array) {
    const hex2 = Array.from(value.subarray(0, shown / 2), (byte) => byte.toString(16).padStart(2, "0")).join("");
    return `0x${hex2}${value.length > shown / 2 ? `... (${value.length} bytes)` : ""}`;
  }
  if (typeof value === "string") {
    return JSON.stringify(value.length > shown ? `${value.slice(0, shown)}...` : value) + (value.length > shown ? ` (${value.length} characters)` : "");
  }
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return JSON.stringify(value).slice(0, shown * 2);
  } catch {
    return String(value);
  }
};

// src/internal/storage/fault.ts
var Fault = class {
  constructor(reason, detail, cause, kind) {
    this.reason = reason;
    this.detail = detail;
    this.cause = cause;
    this.kind = kind;
  }
  reason;
  detail;
  cause;
  kind;
};
var codeOf = (cause) => typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string" ? cause.code : "";
var messageOf = (cause) => cause instanceof Error ? cause.message : String(cause);
var findCause = (causes3, cause, error) => {
  const code = codeOf(cause);
  const found = causes3.find(([codes]) => codes.test(code));
  return found && new Fault(found[1], `${found[2]} (${messageOf(cause)})`, error);
};
var closedFault = new Fault(
  "Closed",
  "the connection or transaction it belongs to has ended; wait for fibers that use a transaction before leaving it"
);
var otherKeys = (created, opened) => new Fault(
  "Incompatible",
  `it was created with ${created} keys and is now opened with ${opened} keys; open it as it was created or use another name`
);
var failing = (method, keyspace, key) => (fault) => new StorageError({ cause: fault.cause, detail: fault.detail, key, keyspace, method, reason: fault.reason });

// src/internal/storage/call.ts
var callOf = (method, keyspace, key) => ({
  fail: failing(method, keyspace, key),
  keyspace,
  method
});
var traced = (self, { keyspace, method }, system) => Effect3.withSpan(self, keyspace === void 0 ? method : `${method} ${keyspace}`, {
  attributes: {
    "db.system.name": system,
    "db.operation.name": method,
    ...keyspace === void 0 ? {} : { "db.collection.name": keyspace }
  },
  captureStackTrace: false,
  kind: "client"
});

// src/internal/storage/compat.ts
import * as Clock from "effect/Clock";
import * as Context2 from "effect/Context";
import * as DefaultServices from "effect/DefaultServices";
import * as Duration from "effect/Duration";
import * as Effect4 from "effect/Effect";
import * as FiberRef from "effect/FiberRef";
import { SyncScheduler } from "effect/Scheduler";
import * as Tracer from "effect/Tracer";
var { clearImmediate, clearTimeout, setImmediate, setTimeout } = globalThis;
var clockOf = (fiber) => Context2.get(fiber.currentDefaultServices, Clock.Clock);
var withNow = (use) => Effect4.withFiberRuntime((fiber) => use(clockOf(fiber).unsafeCurrentTimeMillis()));
var ownTracer = Context2.get(DefaultServices.liveServices, Tracer.Tracer);
var isTraced = (fiber) => fiber.currentTracer !== ownTracer && fiber.getFiberRef(FiberRef.currentTracerEnabled);
var nextTurn = Effect4.async((resume) => {
  const turn2 = setImmediate(() => resume(Effect4.void));
  return Effect4.sync(() => clearImmediate(turn2));
});
var onNextTurn = (f) => void setImmediate(f);
var canWait = ({ currentScheduler }) => !(currentScheduler instanceof SyncScheduler) || currentScheduler.deferred;
var longestHold = 5;
var held;
var turn;
var onTurn = [];
var isTurnDue = () => {
  const now = Date.now();
  if (held !== void 0) return now - held > longestHold || now < held;
  held = now;
  turn = setImmediate(() => {
    held = void 0;
    for (const resume of onTurn.splice(0)) resume();
  }).unref();
  return false;
};
var dueTurn = Effect4.async((resume) => {
  if (held === void 0) return resume(Effect4.void);
  turn?.ref();
  onTurn.push(() => resume(Effect4.void));
});
var ownClock = Context2.get(DefaultServices.liveServices, Clock.Clock);
var isSystemClock = Effect4.clockWith((clock) => Effect4.succeed(clock === ownClock));
var idleSleep = (duration) => Effect4.async((resume) => {
  const timer = setTimeout(() => resume(Effect4.void), Math.min(Duration.toMillis(duration), maxTimer)).unref();
  return Effect4.sync(() => clearTimeout(timer));
});
var idleTurn = idleSleep(Duration.millis(1));
var idleClock = Object.assign(Clock.make(), { sleep: idleSleep });
var sleepingIdly = (self) => Effect4.clockWith((clock) => clock === ownClock ? Effect4.withClock(self, idleClock) : self);
var realMillis = performance.now.bind(performance);
var busyMillis = () => utilization().active;
var utilization = performance.eventLoopUtilization.bind(performance);
var waitFor = (millis7, subscribe) => Effect4.async((resume) => {
  const timer = setTimeout(() => resume(Effect4.succeed(false)), Math.min(millis7, maxTimer));
  subscribe?.(() => {
    clearTimeout(timer);
    resume(Effect4.succeed(true));
  });
  return Effect4.sync(() => clearTimeout(timer));
});
var maxTimer = 2 ** 31 - 1;

// src/internal/storage/gate.ts
import * as Effect5 from "effect/Effect";
var maxOvertakes = 64;
var Gate = class {
  held = false;
  waiters = /* @__PURE__ */ new Set();
  overtakes = 0;
  handingOver = false;
  /** Takes the gate if nobody holds it. */
  tryAcquire() {
    if (this.held) return false;
    this.held = true;
    if (this.waiters.size > 0) this.overtakes++;
    return true;
  }
  release() {
    if (this.waiters.size > 0 && this.overtakes >= maxOvertakes) return this.handOver();
    this.held = false;
    if (this.waiters.size === 0 || this.handingOver) return;
    this.handingOver = true;
    queueMicrotask(() => {
      this.handingOver = false;
      if (!this.held) this.handOver();
    });
  }
  enqueue() {
    const waiter = { granted: false, wake: void 0 };
    this.waiters.add(waiter);
    return waiter;
  }
  /** Gives up a place in line, or the gate itself if it was granted in the meantime. */
  cancel(waiter) {
    if (waiter.granted) this.release();
    else this.waiters.delete(waiter);
  }
  handOver() {
    this.overtakes = 0;
    for (const next5 of this.waiters) {
      this.waiters.delete(next5);
      this.held = true;
      next5.granted = true;
      next5.wake?.();
      return;
    }
    this.held = false;
  }
};
var acquire = (gate, wait) => {
  if (gate.tryAcquire()) return Effect5.void;
  const waiter = gate.enqueue();
  const granted = waitFor(wait.millis, (done2) => {
    if (waiter.granted) done2();
    else waiter.wake = done2;
  });
  return Effect5.matchCauseEffect(wait.restore(granted), {
    onFailure: (cause) => {
      gate.cancel(waiter);
      return Effect5.failCause(cause);
    },
    onSuccess: () => {
      if (waiter.granted) return Effect5.void;
      gate.cancel(waiter);
      return Effect5.fail(wait.onTimeout());
    }
  });
};
var hold = (gate, self, settle, wait) => gate.tryAcquire() ? holding(gate, self, settle) : Effect5.flatMap(acquire(gate, wait()), () => holding(gate, self, settle));
var holding = (gate, self, settle) => Effect5.matchCauseEffect(attempt(self), {
  onFailure: (cause) => {
    gate.release();
    return settle.onFailure(cause);
  },
  onSuccess: (value) => {
    gate.release();
    return settle.onSuccess(value);
  }
});
var attempt = (self) => {
  try {
    return self();
  } catch (defect) {
    return Effect5.die(defect);
  }
};

// src/internal/metrics.ts
import * as Metric from "effect/Metric";
import * as MetricBoundaries from "effect/MetricBoundaries";
import * as MetricKey from "effect/MetricKey";
import * as MetricLabel from "effect/MetricLabel";
var none = [];
var keyOf = (name, description) => MetricKey.counter(name, { description, incremental: true });
var counter2 = ([name, description]) => Metric.fromMetricKey(keyOf(name, description));
var counterOf = ([name, description], label, value) => {
  const metric = Metric.fromMetricKey(
    MetricKey.taggedWithLabels(keyOf(name, description), [MetricLabel.make(label, value)])
  );
  return (count) => {
    if (count > 0) metric.unsafeUpdate(count, none);
  };
};
var millis2 = (name, description) => Metric.histogram(name, MetricBoundaries.exponential({ count: 17, factor: 2, start: 0.5 }), description);
var record = (metric, label, name, value) => metric.unsafeUpdate(value, name === void 0 ? none : [MetricLabel.make(label, name)]);

// src/internal/storage/metrics.ts
var counters = {
  expirations: ["effect_kv_expirations", "Expired entries that were removed"],
  hits: ["effect_kv_hits", "Keys that were read and found"],
  misses: ["effect_kv_misses", "Keys that were read and not found"],
  writes: ["effect_kv_writes", "Entries that were set or removed"]
};
var metrics = {
  expirations: counter2(counters.expirations),
  hits: counter2(counters.hits),
  lockWait: millis2("effect_kv_lock_wait_millis", "How long operations that found a lock held waited for it"),
  misses: counter2(counters.misses),
  sweepDuration: millis2(
    "effect_kv_sweep_duration_millis",
    "How long it took to remove what is expired of a keyspace"
  ),
  writes: counter2(counters.writes)
};
var counterOf2 = (counter3, keyspace) => counterOf(counters[counter3], "keyspace", keyspace);
var record2 = (metric, keyspace, value) => record(metric, "keyspace", keyspace, value);

// src/internal/storage/transactions.ts
import { TransactionConnection } from "@effect/sql/SqlClient";
import * as Context3 from "effect/Context";
import * as Effect6 from "effect/Effect";
import { ParentSpan } from "effect/Tracer";
var internal = "effect-kv/internal/";
var prefix = `${internal}Transaction/`;
var tags = 0;
var makeTag = () => Context3.GenericTag(`${prefix}${++tags}`);
var isTransaction = (key) => key === TransactionConnection.key || key.startsWith(prefix);
var inTransaction = (context5) => {
  for (const key of context5.unsafeMap.keys()) if (isTransaction(key)) return true;
  return false;
};
var without = (context5, isOut) => Context3.unsafeMake(new Map(Array.from(context5.unsafeMap).filter(([key]) => !isOut(key))));
var lastingContext = () => Effect6.map(
  Effect6.context(),
  (context5) => without(context5, (key) => isTransaction(key) || key === ParentSpan.key || key.startsWith(internal))
);
var outsideTransactions = (self) => Effect6.mapInputContext(self, (context5) => without(context5, isTransaction));

// src/internal/storage/access.ts
var breakUp = (level, fault) => {
  for (let at = level; at !== void 0; at = at.parent) at.broken ??= fault;
};
var endOf = (level) => {
  for (let at = level; at !== void 0; at = at.parent) {
    if (at.ended) return closedFault;
    if (at.broken !== void 0) return at.broken;
  }
  return void 0;
};
var placeIn = (level) => level?.foreign === true ? "foreign" : "own";
var originOf = (level, fault) => fault.kind === "aftermath" ? level?.failure ?? fault : fault;
var backOff = (retries) => Effect7.flatMap(Random.next, (random) => waitFor(Math.min(2 ** retries, 20) * (0.5 + random)));
var unnamed = { fail: identity };
var Access = class {
  constructor(engine, runtime4) {
    this.engine = engine;
    this.runtime = runtime4;
    this.lockMillis = Duration2.toMillis(engine.lockTimeout);
    this.tag = makeTag();
  }
  engine;
  runtime;
  /** Says which transaction a fiber is in. A tag for each client, so that two databases do not mix. */
  tag;
  savepoints = 0;
  closed = false;
  /** A rollback failed: the next transaction first makes sure that none is open. */
  unsure = false;
  queue = /* @__PURE__ */ new Set();
  flushing = false;
  onIdle = [];
  /** The fiber that wrote in this turn of the event loop. */
  writer;
  lockMillis;
  /** One statement: by itself, or in the transaction that the fiber is in. */
  run(body, done2, call) {
    return this.here(call, (at) => this.use(at, body, (value) => Effect7.succeed(done2(value)), call));
  }
  /**
   * As `run`, for what changes nothing: on a connection of its own it can be left alone. It is not cancelled, as that takes
   * another connection, and may come so late that it hits somebody else's statement.
   */
  read(body, done2, call) {
    if (this.engine.single) return this.run(body, done2, call);
    return this.here(call, (at) => {
      const self = this.use(at, body, (value) => Effect7.succeed(done2(value)), call);
      if (at.level !== void 0) return self;
      return Effect7.flatMap(
        Effect7.forkDaemon(self),
        (fiber) => Effect7.onInterrupt(at.restore(Fiber.join(fiber)), () => Fiber.interruptFork(fiber))
      );
    });
  }
  /** A statement of the user's own. It can be interrupted, unless all others had to wait for the end of it. */
  statement(body, fail24) {
    return this.here(
      { fail: fail24 },
      (at) => this.use(at, this.engine.single ? body : (connection) => at.restore(body(connection)), Effect7.succeed, {
        fail: fail24
      })
    );
  }
  /**
   * What changes something at once or not at all: as `run`, but writes of several fibers in one turn share a transaction,
   * and one that fails leaves somebody else's transaction as it was.
   */
  write(body, done2, call) {
    return this.here(call, (at) => {
      if (this.isQueued(at)) return this.queued(at, body, done2, call);
      return at.level?.foreign === true && !this.engine.single ? this.whole(at, body, done2, call) : this.use(at, body, (value) => Effect7.succeed(done2(value)), call);
    });
  }
  /**
   * Locks and reads, then writes what `write` takes, with nobody in between; shares a transaction as `write` does. Where
   * it has nothing to write, which `isKept` tells, the lock is undone, unless the transaction is somebody else's: whose
   * own work in it may be undone with that.
   */
  update(body, done2, isKept, call) {
    return this.here(call, (at) => this.isQueued(at) ? this.queued(at, body, done2, call) : this.whole(at, body, done2, call, isKept));
  }
  /** Several statements, all or none: in a transaction of their own or under a savepoint. */
  atomic(body, done2, call) {
    return this.here(call, (at) => this.whole(at, body, done2, call));
  }
  /** Runs `self` in a transaction, or under a savepoint in the one the fiber is in. */
  transaction(self, call) {
    return this.here(call, (at) => this.use(
      at,
      (plain) => {
        const connection = at.level === void 0 ? this.engine.careful(plain) : plain;
        const level = this.makeLevel(connection, at.level);
        const inner = at.restore(Effect7.mapInputContext(self, (context5) => this.engine.enter(Context4.add(context5, this.tag, level), level)));
        const outer = { ...at, from: void 0, since: void 0 };
        return this.bracket(outer, connection, inner, { fail: call.fail, level, serializable: true });
      },
      identity,
      call
    ));
  }
  /**
   * Runs again what was lost to a conflict, on a schedule or for as long as one may wait for a lock. In a transaction there
   * is no sense in that: it is lost with all that it has read.
   */
  retrying(self, schedule, isLost2) {
    return Effect7.flatMap(this.level, (level) => {
      if (level !== void 0) return self;
      const again = (error) => isLost2(error) || this.engine.isLost(error);
      if (schedule !== void 0) return Effect7.retry(self, { schedule, while: again });
      const deadline = realMillis() + this.lockMillis;
      const attempt2 = (retries) => Effect7.catchIf(
        self,
        (error) => again(error) && realMillis() < deadline,
        () => Effect7.flatMap(backOff(retries), () => attempt2(retries + 1))
      );
      return attempt2(0);
    });
  }
  /** Waits until what was queued is written; not in a transaction, for whose end the queue itself waits. */
  flush = Effect7.flatMap(
    Effect7.context(),
    (context5) => this.levelOf(context5) !== void 0 || !this.flushing ? Effect7.void : Effect7.async((resume) => {
      this.onIdle.push(() => resume(Effect7.void));
    })
  );
  /** Finishes what was queued; from then on everything fails as closed. */
  close = Effect7.zipRight(
    this.flush,
    Effect7.sync(() => {
      this.closed = true;
    })
  );
  /** The transaction that the fiber is in. */
  level = Effect7.map(
    Effect7.context(),
    (context5) => this.levelOf(context5)
  );
  /** Fails if nothing can be done any more in the level, or outside of any. */
  check(level) {
    return Effect7.suspend(() => {
      const end = level === void 0 ? this.closed ? closedFault : void 0 : endOf(level);
      return end === void 0 ? Effect7.void : Effect7.fail(end);
    });
  }
  /** Looks once at the fiber that runs this, in a region where only what is restored can be interrupted. */
  here({ keyspace, method }, use) {
    return Effect7.uninterruptibleMask(
      (restore) => Effect7.withFiberRuntime((fiber) => {
        const at = {
          clock: clockOf(fiber),
          fiber,
          from: void 0,
          level: this.levelOf(fiber.currentContext),
          restore,
          since: void 0,
          waited: void 0
        };
        const self = this.engine.single && isTurnDue() && canWait(fiber) ? Effect7.flatMap(restore(dueTurn), () => use(at)) : use(at);
        return method !== void 0 && isTraced(fiber) ? traced(self, { keyspace, method }, this.engine.system) : self;
      })
    );
  }
  /** `foreign`: of somebody else's transaction, the gate of its connection. */
  makeLevel = (connection, parent, foreign) => {
    const level = {
      broken: void 0,
      connection: this.engine.guarded(connection, {
        end: () => endOf(level),
        failed: (error) => this.afterFailure(level, connection, error)
      }),
      depth: parent === void 0 ? 0 : parent.depth + 1,
      ended: false,
      failure: void 0,
      foreign: foreign !== void 0,
      gate: foreign ?? new Gate(),
      onCommit: [],
      parent
    };
    return level;
  };
  levelOf(context5) {
    return context5.unsafeMap.get(this.tag.key) ?? this.engine.joined(context5, (connection, gate) => this.makeLevel(connection, void 0, gate));
  }
  /**
   * Has `body` run on a connection that nobody else uses meanwhile: the level's, or one outside of any transaction.
   * Outside, it runs again for as long as it finds the database locked and there is time.
   */
  use(at, body, done2, { fail: fail24, keyspace }) {
    const { clock, level, restore } = at;
    const run2 = (connection) => {
      if (at.since !== void 0) at.waited = realMillis() - at.since;
      return body(connection, clock, level === void 0 ? "alone" : placeIn(level));
    };
    const failed = (fault) => {
      if (at.since !== void 0) record2(metrics.lockWait, keyspace, at.waited ?? realMillis() - at.since);
      return Effect7.fail(fail24(fault));
    };
    const succeeded = (value) => {
      if (at.waited !== void 0) record2(metrics.lockWait, keyspace, at.waited);
      return done2(value);
    };
    const wait = () => ({
      millis: this.timeLeft(at),
      onTimeout: () => fail24(this.busy("other work on this connection")),
      restore
    });
    if (level !== void 0) {
      return hold(
        level.gate,
        () => {
          const end = endOf(level);
          return end === void 0 ? run2(level.connection) : Effect7.fail(end);
        },
        {
          onFailure: (cause) => this.failing(cause, (fault) => failed(originOf(level, fault))),
          onSuccess: succeeded
        },
        wait
      );
    }
    if (this.closed) return Effect7.fail(fail24(closedFault));
    const attempt2 = (retries) => this.engine.exclusive(
      (connection) => run2(retries === 0 ? connection : this.engine.careful(connection)),
      {
        onFailure: (cause) => this.failing(cause, (fault) => {
          if (fault.kind === "remembered" && retries === 0) return attempt2(1);
          if (fault.reason !== "Busy" || fault.kind === "waited") return failed(fault);
          return this.timeLeft(at) > 0 ? Effect7.flatMap(restore(backOff(retries)), () => attempt2(retries + 1)) : failed(this.busy("another connection", fault));
        }),
        onSuccess: succeeded
      },
      wait
    );
    return attempt2(0);
  }
  /**
   * Some failures end the whole transaction (a full disk, `ON CONFLICT ROLLBACK`). What followed would no longer be in
   * one, so nothing may follow.
   */
  afterFailure(level, connection, error) {
    const fault = this.faultOf(error);
    if (fault.kind !== "aftermath") level.failure = fault;
    return Effect7.map(this.engine.isOpen(connection), (open5) => {
      if (!open5) breakUp(level, fault);
    });
  }
  /** All waits of one operation share one time-out, which begins with the first. */
  timeLeft(at) {
    at.since ??= realMillis();
    return this.lockMillis - (realMillis() - (at.from ?? at.since));
  }
  failing(cause, onFault) {
    const failure2 = Cause.failureOrCause(cause);
    return Either3.isLeft(failure2) ? onFault(this.faultOf(failure2.left)) : Effect7.failCause(failure2.right);
  }
  faultOf(error) {
    return error instanceof Fault ? error : this.engine.classify(error);
  }
  busy(holder, cause) {
    return new Fault(
      "Busy",
      `${holder} held the lock for longer than the lock time-out of ${Duration2.format(this.engine.lockTimeout)}; keep transactions short or raise lockTimeout`,
      cause?.cause
    );
  }
  /** Opens a transaction or savepoint, runs `inner`, ends it. Fails only if it could not open; the rest is the Exit. */
  bracket(at, connection, inner, { fail: fail24, isKept, level, serializable = false }) {
    const { engine } = this;
    const { level: parent } = at;
    const name = `effect_kv_${++this.savepoints}`;
    const [begin, commit, rollback] = parent === void 0 ? [this.begin(connection, serializable), this.commit(connection, at), this.rollback(connection)] : [
      engine.savepoint(connection, name),
      Effect7.mapError(engine.release(connection, name), (error) => this.faultOf(error)),
      Effect7.ignore(Effect7.zipRight(engine.rollbackTo(connection, name), engine.release(connection, name)))
    ];
    const undo = (exit6) => Effect7.as(rollback, exit6);
    return Effect7.flatMap(
      begin,
      () => Effect7.flatMap(
        Effect7.exit(inner),
        (exit6) => Effect7.flatMap(level === void 0 ? Effect7.void : this.end(level), () => {
          if (Exit3.isFailure(exit6) || isKept?.(exit6.value) === true) return undo(exit6);
          if (level?.broken !== void 0) return undo(Exit3.fail(fail24(level.broken)));
          return Effect7.matchEffect(commit, {
            onFailure: (fault) => undo(Exit3.fail(fail24(originOf(level, fault)))),
            onSuccess: () => {
              if (parent !== void 0) parent.onCommit.push(...level?.onCommit ?? []);
              else level?.onCommit.forEach((done2) => done2());
              return Effect7.succeed(exit6);
            }
          });
        })
      )
    );
  }
  /** Lets the operation that is under way in the level finish; later ones fail as closed. */
  end(level) {
    const end = Effect7.sync(() => {
      level.ended = true;
    });
    return hold(level.gate, () => end, { onFailure: Effect7.failCause, onSuccess: () => Effect7.void }, () => ({
      onTimeout: () => this.busy("a transaction nested in a fiber that outlives this one"),
      millis: this.lockMillis,
      restore: identity
    })).pipe(Effect7.catchAll(
      (fault) => Effect7.zipRight(
        end,
        Effect7.sync(() => {
          level.broken ??= fault;
        })
      )
    ));
  }
  begin(connection, serializable) {
    return Effect7.suspend(() => {
      const begin = this.engine.begin(connection, serializable);
      if (!this.unsure) return begin;
      this.unsure = false;
      return Effect7.zipRight(Effect7.ignore(this.engine.rollback(connection)), begin);
    });
  }
  /** A commit may find a single connection's database locked as well; it is tried again for as long as there is time. */
  commit(connection, at) {
    const attempt2 = (retries) => Effect7.catchAll(this.engine.commit(connection), (error) => {
      const fault = this.faultOf(error);
      return fault.reason === "Busy" && this.engine.single && this.timeLeft(at) > 0 ? Effect7.flatMap(backOff(retries), () => attempt2(retries + 1)) : Effect7.fail(fault);
    });
    return attempt2(0);
  }
  rollback(connection) {
    return Effect7.catchAll(this.engine.rollback(connection), () => Effect7.sync(() => {
      this.unsure = this.engine.single;
    }));
  }
  /**
   * A fiber that is alone in writing during this turn of the event loop writes at once. Others of the same turn, and
   * whoever comes while those are being written, share a transaction.
   */
  isQueued({ fiber, level }) {
    if (!this.engine.coalesce || level !== void 0 || !canWait(fiber)) return false;
    if (this.flushing) return true;
    if (this.writer === void 0) {
      this.writer = fiber;
      queueMicrotask(() => {
        this.writer = void 0;
      });
    }
    return this.writer !== fiber;
  }
  queued({ clock, restore }, body, done2, { fail: fail24 }) {
    return restore(Effect7.async((resume) => {
      let result;
      const onSettled = [];
      const job = {
        run: (connection) => Effect7.map(Effect7.exit(body(connection, clock, "own")), (exit6) => result = exit6),
        settle: (failure2) => {
          job.state = "settled";
          resume(
            result !== void 0 && failure2 === void 0 ? Exit3.mapBoth(result, { onFailure: (error) => fail24(this.faultOf(error)), onSuccess: done2 }) : Effect7.failCause(Cause.map(failure2 ?? Cause.empty, fail24))
          );
          for (const settled of onSettled) settled();
        },
        since: realMillis(),
        state: "queued"
      };
      this.queue.add(job);
      if (!this.flushing) {
        this.flushing = true;
        Runtime.runFork(this.runtime)(this.writeQueued, { immediate: false });
      }
      return Effect7.async((resume2) => {
        if (job.state === "started") {
          onSettled.push(() => resume2(Effect7.void));
        } else {
          job.state = "settled";
          this.queue.delete(job);
          resume2(Effect7.void);
        }
      });
    }));
  }
  /** Writes what is queued in one transaction, then what was queued meanwhile, until nothing is. */
  writeQueued = this.here(unnamed, (at) => {
    const [first] = this.queue;
    if (first === void 0) {
      this.flushing = false;
      for (const wake of this.onIdle.splice(0)) wake();
      return Effect7.void;
    }
    const jobs = Array.from(this.queue);
    this.queue.clear();
    const settle = (failure2) => {
      const busy = failure2 !== void 0 && Cause.isFailType(failure2) && failure2.error.reason === "Busy";
      const again = jobs.filter((job) => busy && job.state === "queued" && realMillis() - job.since < this.lockMillis);
      const later = Array.from(this.queue);
      this.queue.clear();
      for (const job of [...again, ...later]) this.queue.add(job);
      for (const job of jobs) {
        if (!this.queue.has(job)) job.settle(failure2);
      }
      return this.writeQueued;
    };
    return Effect7.matchCauseEffect(
      this.atomically(
        { ...at, from: first.since, level: void 0 },
        (connection) => this.runAll(jobs, connection),
        unnamed
      ),
      { onFailure: settle, onSuccess: () => settle(void 0) }
    );
  });
  /** What goes wrong with one job is its own affair, unless the transaction of all of them is gone with it. */
  runAll(jobs, connection) {
    return Effect7.forEach(jobs, (job) => Effect7.suspend(() => {
      if (job.state === "settled") return Effect7.void;
      job.state = "started";
      return Effect7.flatMap(job.run(connection), (exit6) => Exit3.isSuccess(exit6) ? Effect7.void : Effect7.flatMap(this.engine.isOpen(connection), (open5) => open5 ? Effect7.void : Effect7.asVoid(exit6)));
    }), { discard: true });
  }
  whole(at, body, done2, call, isKept) {
    return Effect7.mapBoth(this.atomically(at, body, call, isKept), { onFailure: call.fail, onSuccess: done2 });
  }
  atomically(at, body, { keyspace }, isKept) {
    return this.use(
      at,
      (plain) => {
        const { level } = at;
        const connection = level === void 0 ? this.engine.careful(plain) : plain;
        const place = placeIn(level);
        const inner = body(connection, at.clock, place);
        return Effect7.flatten(this.bracket(at, connection, inner, {
          fail: identity,
          isKept: place === "foreign" ? void 0 : isKept
        }));
      },
      Effect7.succeed,
      { fail: identity, keyspace }
    );
  }
};

// src/internal/storage/btree.ts
import sortedBTree from "sorted-btree";
var BTree = "default" in sortedBTree ? sortedBTree.default : sortedBTree;

// src/internal/storage/keys.ts
var maxKeyBytes = 2048;
var fixSurrogate = (unit) => unit >= 57344 ? unit - 2048 : unit >= 55296 ? unit + 8192 : unit;
var compareText = (a, b) => {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return fixSurrogate(x) - fixSurrogate(y);
  }
  return a.length - b.length;
};
var compareUnits = (a, b) => a < b ? -1 : a > b ? 1 : 0;
var belowSurrogates = /^[\0-\ud7ff]*$/;
var compareBytes = (a, b) => Buffer.compare(a, b);
var afterTextPrefix = (prefix2) => {
  const points = Array.from(prefix2);
  while (points.length > 0) {
    const last = points.pop()?.codePointAt(0) ?? 0;
    if (last < 1114111) {
      return points.join("") + String.fromCodePoint(last === 55295 ? 57344 : last + 1);
    }
  }
  return void 0;
};
var textKeys = {
  name: "text",
  issue: (key) => {
    if (typeof key !== "string") return "it is not a string";
    if (key.includes("\0")) return "it contains NUL (U+0000); remove or escape it";
    if (!key.isWellFormed()) return "it contains a lone surrogate, which has no UTF-8 form; check where it was cut";
    if (key.length * 3 > maxKeyBytes) {
      const bytes2 = Buffer.byteLength(key);
      if (bytes2 > maxKeyBytes) {
        return `it is ${bytes2} bytes long and the limit is ${maxKeyBytes}; use a hash of it as the key`;
      }
    }
    return void 0;
  },
  compare: compareText,
  comparing: (keys) => keys.every((key) => belowSurrogates.test(key)) ? compareUnits : compareText,
  afterPrefix: afterTextPrefix,
  isEmpty: (key) => key === "",
  identity: (key) => key,
  copy: (key) => key,
  byteLength: (key) => Buffer.byteLength(key)
};
var copyBytes = (bytes2) => new Uint8Array(bytes2);
var afterBytesPrefix = (prefix2) => {
  let end = prefix2.length;
  while (end > 0 && prefix2[end - 1] === 255) end--;
  if (end === 0) return void 0;
  const after = copyBytes(prefix2.subarray(0, end));
  after[end - 1] = (after[end - 1] ?? 0) + 1;
  return after;
};
var bytesKeys = {
  name: "bytes",
  issue: (key) => {
    if (!(key instanceof Uint8Array)) return "it is not a Uint8Array";
    if (key.length > maxKeyBytes) {
      return `it is ${key.length} bytes long and the limit is ${maxKeyBytes}; use a hash of it as the key`;
    }
    return void 0;
  },
  compare: compareBytes,
  comparing: () => compareBytes,
  afterPrefix: afterBytesPrefix,
  isEmpty: (key) => key.length === 0,
  identity: (key) => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1"),
  copy: copyBytes,
  byteLength: (key) => key.length
};

// src/internal/storage/keyspace.ts
import * as Chunk from "effect/Chunk";
import * as Effect8 from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";

// src/internal/storage/range.ts
var toBounds = (kind, range) => {
  let lower;
  let upper;
  const raise = (key, inclusive) => {
    if (key === void 0) return;
    const order = lower === void 0 ? 1 : kind.compare(key, lower.key);
    if (order > 0 || order === 0 && !inclusive) lower = { inclusive, key };
  };
  const cut = (key, inclusive) => {
    if (key === void 0) return;
    const order = upper === void 0 ? -1 : kind.compare(key, upper.key);
    if (order < 0 || order === 0 && !inclusive) upper = { inclusive, key };
  };
  const reverse = range.reverse === true;
  if (range.prefix !== void 0 && !kind.isEmpty(range.prefix)) {
    raise(range.prefix, true);
    cut(kind.afterPrefix(range.prefix), false);
  }
  raise(range.from, true);
  cut(range.to, false);
  cut(range.through, true);
  if (reverse) cut(range.after, false);
  else raise(range.after, false);
  return { limit: toLimit(range.limit), lower, reverse, upper };
};
var toLimit = (limit) => limit === void 0 || limit > Number.MAX_SAFE_INTEGER ? Infinity : Number.isNaN(Number(limit)) ? 0 : Math.max(0, Math.floor(Number(limit)));
var beyond = (bounds, key, limit) => bounds.reverse ? { ...bounds, limit, upper: { inclusive: false, key } } : { ...bounds, limit, lower: { inclusive: false, key } };

// src/internal/storage/keyspace.ts
var pageBytes = 1 << 20;
var firstPage = 16;
var maxPage = 1024;
var makeKeyspace = (name, kind, driver) => {
  const at = (method, key) => callOf(method, name, key);
  const hits = counterOf2("hits", name);
  const misses = counterOf2("misses", name);
  const writes = counterOf2("writes", name);
  const expirations = counterOf2("expirations", name);
  const countRead = (entry) => {
    if (Option.isSome(entry)) hits(1);
    else misses(1);
    return entry;
  };
  const countWrite = () => writes(1);
  const writing = (self, count) => Effect8.map(self, (answer) => {
    writes(count(answer));
    return answer;
  });
  const invalid = (key, issue) => Effect8.fail(new InvalidKey({ issue, key, keyspace: name }));
  const withKey = (key, use) => {
    const issue = kind.issue(key);
    return issue === void 0 ? use(key) : invalid(key, issue);
  };
  const withKeys = (keys, use) => {
    const all4 = [...keys];
    for (const key of all4) {
      const issue = kind.issue(key);
      if (issue !== void 0) return invalid(key, issue);
    }
    return use(all4);
  };
  const withRange = (range, use) => {
    for (const key of [range?.prefix, range?.from, range?.to, range?.through, range?.after]) {
      const issue = key === void 0 ? void 0 : kind.issue(key);
      if (key !== void 0 && issue !== void 0) return invalid(key, issue);
    }
    return use(toBounds(kind, range ?? {}));
  };
  const badValue = (method, key, issue) => new StorageError({ detail: issue, key, keyspace: name, method, reason: "InvalidValue" });
  const pages = (range, read, keyOf3, sizeOf2) => {
    const page = ({ bounds, size: size2 }) => {
      const limit = Math.min(size2, bounds.limit);
      return Effect8.map(read({ ...bounds, limit }), (items) => {
        const last = items.at(-1);
        const left4 = bounds.limit - items.length;
        const next5 = last === void 0 || items.length < limit || left4 === 0 ? Option.none() : Option.some({
          bounds: beyond(bounds, keyOf3(last), left4),
          size: pageAfter(items, sizeOf2)
        });
        return [Chunk.unsafeFromArray(items), next5];
      });
    };
    return Stream.unwrap(
      withRange(range, (bounds) => Effect8.succeed(Stream.paginateChunkEffect({ bounds, size: firstPage }, page)))
    );
  };
  return {
    name,
    get: (key) => withKey(key, (key2) => driver.get(key2, countRead, at("get", key2))),
    head: (key) => withKey(key, (key2) => driver.head(key2, countRead, at("head", key2))),
    getMany: (keys) => withKeys(
      keys,
      (keys2) => keys2.length === 0 ? Effect8.succeed([]) : Effect8.map(driver.getMany(keys2, at("getMany")), (entries) => {
        entries.forEach(countRead);
        return entries;
      })
    ),
    set: (key, value, expiresAt) => {
      const issue = entryIssue(value, expiresAt);
      if (issue !== void 0) return Effect8.fail(badValue("set", key, issue));
      return withKey(
        key,
        (key2) => driver.set({ expiresAt: toExpiry(expiresAt), key: key2, value }, countWrite, at("set", key2))
      );
    },
    setMany: (entries) => {
      const all4 = [];
      for (const { expiresAt, key, value } of entries) {
        const keyIssue = kind.issue(key);
        if (keyIssue !== void 0) return invalid(key, keyIssue);
        const issue = entryIssue(value, expiresAt);
        if (issue !== void 0) return Effect8.fail(badValue("setMany", key, issue));
        all4.push({ expiresAt: toExpiry(expiresAt), key, value });
      }
      return all4.length === 0 ? Effect8.void : writing(driver.setMany(all4, at("setMany")), () => all4.length);
    },
    modify: (key, f) => withKey(
      key,
      (key2) => Effect8.flatten(driver.modify(key2, (entry) => {
        const [answer, change] = f(entry);
        if (change._tag === "Keep") return [Effect8.succeed(answer), change];
        const answered = Effect8.sync(() => {
          if (change._tag === "Put" || Option.isSome(entry)) countWrite();
          return answer;
        });
        if (change._tag === "Remove") return [answered, change];
        const issue = entryIssue(change.value, change.expiresAt);
        return issue === void 0 ? [answered, { ...change, expiresAt: toExpiry(change.expiresAt) }] : [Effect8.fail(badValue("modify", key2, issue)), keep];
      }, at("modify", key2)))
    ),
    remove: (key) => withKey(key, (key2) => writing(driver.remove(key2, at("remove", key2)), Number)),
    removeMany: (keys) => withKeys(
      keys,
      (keys2) => keys2.length === 0 ? Effect8.succeed(0) : writing(driver.removeMany(keys2, at("removeMany")), Number)
    ),
    take: (range, limit) => withRange(
      { ...range, limit: Math.min(range.limit ?? Infinity, limit) },
      (bounds) => bounds.limit === 0 ? Effect8.succeed([]) : writing(driver.take(bounds, at("take")), (entries) => entries.length)
    ),
    entries: (range) => pages(range, (bounds) => driver.entries(bounds, at("entries")), (entry) => entry.key, entrySize),
    keys: (range) => pages(range, (bounds) => driver.keys(bounds, at("keys")), (key) => key, (key) => key.length),
    stat: (range) => withRange(unlimited(range), (bounds) => driver.stat(bounds, at("stat"))),
    clear: (range) => withRange(unlimited(range), (bounds) => writing(driver.clear(bounds, at("clear")), Number)),
    removeExpired: ({ limit }) => Effect8.map(driver.removeExpired(toLimit(limit), at("removeExpired")), (slice3) => {
      expirations(slice3.removed);
      return slice3;
    })
  };
};
var unlimited = (range) => ({ ...range, limit: void 0 });
var keep = { _tag: "Keep" };
var entrySize = (entry) => entry.key.length + entry.value.length;
var pageAfter = (items, sizeOf2) => {
  let bytes2 = 0;
  for (const item of items) bytes2 += sizeOf2(item);
  return Math.max(1, Math.min(maxPage, Math.floor(pageBytes / Math.max(1, bytes2 / items.length))));
};
var entryIssue = (value, expiresAt) => expiresAt !== void 0 && (typeof expiresAt !== "number" || Number.isNaN(expiresAt)) ? `the expiry is a number of milliseconds since the epoch, not ${expiresAt}` : typeof value === "string" ? value.isWellFormed() ? void 0 : "the text contains a lone surrogate, which has no UTF-8 form; check where it was cut or store bytes" : value instanceof Uint8Array ? void 0 : `a value is a string or a Uint8Array, not ${value === null ? "null" : typeof value}`;
var toExpiry = (expiresAt) => expiresAt === void 0 || expiresAt === Infinity ? void 0 : Math.max(Math.min(Math.ceil(expiresAt), Number.MAX_SAFE_INTEGER), Number.MIN_SAFE_INTEGER);

// src/internal/storage/service.ts
import * as Effect11 from "effect/Effect";

// src/internal/storage/sweep.ts
import * as Effect10 from "effect/Effect";
import * as FiberHandle from "effect/FiberHandle";
import * as Schedule from "effect/Schedule";

// src/internal/storage/duration.ts
import * as Duration3 from "effect/Duration";
import * as Effect9 from "effect/Effect";
import * as Either4 from "effect/Either";
var shown2 = (value) => {
  if (typeof value === "string") return JSON.stringify(value);
  try {
    return String(value);
  } catch {
    return `an ${typeof value}`;
  }
};
var parseDuration = (input) => {
  const issue = Either4.left(
    `${shown2(input)} is no duration; give a Duration, milliseconds, or text such as "30 minutes"`
  );
  if (Number.isNaN(input) || Array.isArray(input) && input.some(Number.isNaN)) return issue;
  try {
    return Either4.right(Duration3.toMillis(Duration3.decode(input)));
  } catch {
    return issue;
  }
};
var durationSetting = (name, input, least = 0) => Effect9.mapBoth(
  Either4.filterOrLeft(
    parseDuration(input),
    (millis7) => millis7 >= least,
    () => `${shown2(input)} is too short; give at least ${least} milliseconds`
  ),
  {
    onFailure: (issue) => new Fault("InvalidValue", `${name}: ${issue}`),
    onSuccess: Duration3.millis
  }
);

// src/internal/storage/sweep.ts
var longestSlice = 6;
var firstSlice = 16;
var nextSlice = (limit, batchSize, millis7) => millis7 > longestSlice ? Math.max(1, limit >> 1) : millis7 < longestSlice / 2 ? Math.min(batchSize, limit * 2) : limit;
var toBatchSize = ({ batchSize = 64 }) => Math.max(1, toLimit(batchSize));
var sweeping = (keyspace, pause, options = {}) => {
  const most = toBatchSize(options);
  const slice3 = (limit, before) => Effect10.suspend(() => {
    const start = busyMillis();
    return Effect10.flatMap(keyspace.removeExpired({ limit }), ({ more, removed }) => more ? Effect10.zipRight(pause, slice3(nextSlice(limit, most, busyMillis() - start), before + removed)) : Effect10.succeed(before + removed));
  });
  return Effect10.suspend(() => {
    const start = realMillis();
    return Effect10.map(slice3(Math.min(most, firstSlice), 0), (removed) => {
      record2(metrics.sweepDuration, keyspace.name, realMillis() - start);
      return removed;
    });
  });
};
var sweep = (keyspace, options) => sweeping(keyspace, nextTurn, options);
var makeSweeper = (keyspaces) => Effect10.gen(function* () {
  let limit = 0;
  yield* Effect10.addFinalizer(
    () => limit === 0 ? Effect10.void : Effect10.ignore(Effect10.flatMap(keyspaces, Effect10.forEach((keyspace) => keyspace.removeExpired({ limit }))))
  );
  const fiber = yield* FiberHandle.make();
  return (options) => Effect10.flatMap(
    Effect10.mapError(
      durationSetting("the interval of the sweeper", options.interval ?? "1 minute", 1),
      failing("open")
    ),
    (interval) => {
      const each = (keyspace) => Effect10.catchIf(
        sweeping(keyspace, idleTurn, options),
        (error) => error.reason !== "ReadOnly",
        (error) => Effect10.logWarning("effect-kv: a sweep of expired entries failed", error)
      );
      const all4 = Effect10.flatMap(keyspaces, Effect10.forEach(each, { discard: true }));
      const ever = Effect10.delay(Effect10.asVoid(Effect10.repeat(all4, Schedule.spaced(interval))), interval);
      limit = toBatchSize(options);
      return Effect10.asVoid(FiberHandle.run(fiber, outsideTransactions(sleepingIdly(ever))));
    }
  );
});

// src/internal/storage/service.ts
var makeService = (engine) => Effect11.gen(function* () {
  const { access } = engine;
  const texts = /* @__PURE__ */ new Map();
  const bytes2 = /* @__PURE__ */ new Map();
  const once = (opened, open5) => (name) => Effect11.suspend(() => {
    const found = opened.get(name);
    if (found !== void 0) return Effect11.succeed(found);
    return Effect11.zipWith(open5(name), access.level, (keyspace2, level) => {
      const remember = () => void opened.set(name, keyspace2);
      if (level === void 0) remember();
      else level.onCommit.push(remember);
      return keyspace2;
    });
  });
  const openText = once(texts, engine.openText);
  const openBytes = once(bytes2, engine.openBytes);
  function keyspace(name, options) {
    return options?.keys === "bytes" ? openBytes(name) : openText(name);
  }
  const all4 = Effect11.sync(() => [...texts.values(), ...bytes2.values()]);
  const { sweep: settings } = engine;
  const sweeper = yield* makeSweeper(all4);
  if (settings === void 0 ? yield* isSystemClock : settings !== false) yield* sweeper(settings || {});
  return {
    keyspace,
    maintenance: {
      compact: Effect11.flatMap(
        all4,
        Effect11.reduce(
          0,
          (total, keyspace2) => Effect11.map(sweep(keyspace2, settings || {}), (removed) => total + removed)
        )
      ).pipe(
        Effect11.zipLeft(engine.reclaim)
      ),
      flush: access.flush,
      keyspaces: Effect11.map(engine.keyspaces, (all5) => [...all5].sort((a, b) => textKeys.compare(a.name, b.name))),
      stats: Effect11.flatMap(all4, (keyspaces) => Effect11.forEach(keyspaces, (keyspace2) => Effect11.map(
        Effect11.catchTag(keyspace2.stat(), "InvalidKey", Effect11.die),
        (stat) => ({ ...stat, keyspace: keyspace2.name })
      ))),
      sweeper
    },
    transaction: (self, options) => {
      const once2 = access.transaction(self, callOf("transaction"));
      const retry2 = options?.retry ?? false;
      return retry2 === false ? once2 : access.retrying(once2, retry2 === true ? void 0 : retry2, isLost);
    }
  };
});
var isLost = (error) => error instanceof StorageError && error.reason === "Busy";

// src/internal/storage/memory.ts
var live = (entry, now) => entry.expiresAt === void 0 || entry.expiresAt > now;
var copyValue = (value) => typeof value === "string" ? value : copyBytes(value);
var makeTable = (kind, memory2) => {
  const empty2 = () => ({
    byExpiry: new BTree(void 0, (a, b) => a[0] - b[0] || kind.compare(a[1], b[1])),
    byKey: new BTree(void 0, kind.compare)
  });
  const table = empty2();
  memory2.parts.add({
    empty: () => Object.assign(table, empty2()),
    snapshot: () => {
      const then = { byExpiry: table.byExpiry.clone(), byKey: table.byKey.clone() };
      return () => Object.assign(table, then);
    }
  });
  return table;
};
var makeDriver = (access, table, kind) => {
  const copy = ({ expiresAt, key, value }) => ({
    expiresAt,
    key: kind.copy(key),
    value: copyValue(value)
  });
  const find = (key, now) => {
    const entry = table.byKey.get(key);
    return entry !== void 0 && live(entry, now) ? Option2.some(copy(entry)) : Option2.none();
  };
  const drop = (key) => {
    const entry = table.byKey.get(key);
    if (entry === void 0) return void 0;
    table.byKey.delete(key);
    if (entry.expiresAt !== void 0) table.byExpiry.delete([entry.expiresAt, entry.key]);
    return entry;
  };
  const put2 = (entry) => {
    drop(entry.key);
    const own = copy(entry);
    table.byKey.set(own.key, own);
    if (own.expiresAt !== void 0) table.byExpiry.set([own.expiresAt, own.key], true);
  };
  const scan = (bounds, now) => {
    const found = [];
    for (const entry of inBounds(table.byKey, kind, bounds)) {
      if (found.length >= bounds.limit) break;
      if (live(entry, now)) found.push(entry);
    }
    return found;
  };
  const removeAll = (keys, now) => {
    let count = 0;
    for (const key of keys) {
      const entry = drop(key);
      if (entry !== void 0 && live(entry, now)) count++;
    }
    return count;
  };
  const sync14 = (f) => (_, clock) => Effect12.sync(() => f(clock.unsafeCurrentTimeMillis()));
  const same = (value) => value;
  return {
    get: (key, done2, call) => access.run(sync14((now) => find(key, now)), done2, call),
    head: (key, done2, call) => access.run(sync14((now) => Option2.map(find(key, now), ({ expiresAt }) => ({ expiresAt }))), done2, call),
    getMany: (keys, call) => access.run(sync14((now) => keys.map((key) => find(key, now))), same, call),
    set: (entry, done2, call) => access.run(sync14(() => put2(entry)), done2, call),
    setMany: (entries, call) => access.run(sync14(() => entries.forEach(put2)), same, call),
    modify: (key, f, call) => access.run(
      sync14((now) => {
        const [answer, change] = f(find(key, now));
        if (change._tag === "Put") put2({ expiresAt: change.expiresAt, key, value: change.value });
        else if (change._tag === "Remove") drop(key);
        return answer;
      }),
      same,
      call
    ),
    remove: (key, call) => access.run(sync14((now) => removeAll([key], now) > 0), same, call),
    removeMany: (keys, call) => access.run(sync14((now) => removeAll(keys, now)), same, call),
    take: (bounds, call) => access.run(
      sync14((now) => {
        const entries = scan(bounds, now);
        for (const entry of entries) drop(entry.key);
        return entries.map(copy);
      }),
      same,
      call
    ),
    entries: (bounds, call) => access.run(sync14((now) => scan(bounds, now).map(copy)), same, call),
    keys: (bounds, call) => access.run(sync14((now) => scan(bounds, now).map((entry) => kind.copy(entry.key))), same, call),
    stat: (bounds, call) => access.run(
      sync14((now) => {
        const entries = scan(bounds, now);
        let bytes2 = 0;
        for (const entry of entries) bytes2 += kind.byteLength(entry.key) + valueBytes(entry.value);
        return { bytes: bytes2, entries: entries.length };
      }),
      same,
      call
    ),
    clear: (bounds, call) => access.run(
      sync14((now) => removeAll(Array.from(inBounds(table.byKey, kind, bounds), (entry) => entry.key), now)),
      same,
      call
    ),
    removeExpired: (limit, call) => access.run(
      sync14((now) => {
        const gone = [];
        for (const [expiresAt, key] of table.byExpiry.keys()) {
          if (expiresAt > now || gone.length >= limit) break;
          gone.push(key);
        }
        for (const key of gone) drop(key);
        return { more: limit > 0 && gone.length === limit, removed: gone.length };
      }),
      same,
      call
    )
  };
};
var valueBytes = (value) => typeof value === "string" ? Buffer.byteLength(value) : value.length;
function* inBounds(tree, kind, bounds) {
  const { lower, reverse, upper } = bounds;
  const beforeLower = (key) => {
    if (lower === void 0) return false;
    const order = kind.compare(key, lower.key);
    return order < 0 || order === 0 && !lower.inclusive;
  };
  const afterUpper = (key) => {
    if (upper === void 0) return false;
    const order = kind.compare(key, upper.key);
    return order > 0 || order === 0 && !upper.inclusive;
  };
  if (tree.isEmpty) return;
  const start = reverse ? upper?.key : lower?.key;
  const [skip, stop] = reverse ? [afterUpper, beforeLower] : [beforeLower, afterUpper];
  for (const [key, entry] of reverse ? tree.entriesReversed(start) : tree.entries(start)) {
    if (skip(key)) continue;
    if (stop(key)) return;
    yield entry;
  }
}
var makeEngine = (lockTimeout) => {
  const memory2 = { parts: /* @__PURE__ */ new Set(), savepoints: [] };
  const gate = new Gate();
  const open5 = (name) => Effect12.sync(() => {
    const before = new Map(Array.from(memory2.parts, (part) => [part, part.snapshot()]));
    const undo = () => {
      for (const part of memory2.parts) (before.get(part) ?? part.empty)();
    };
    memory2.savepoints.push({ name, undo });
  });
  const end = (name, undo) => Effect12.sync(() => {
    const at = memory2.savepoints.findIndex((savepoint) => savepoint.name === name);
    if (at < 0) return;
    if (undo) memory2.savepoints[at]?.undo();
    memory2.savepoints.length = at;
  });
  const outermost = "";
  return {
    engine: {
      begin: () => open5(outermost),
      careful: () => memory2,
      classify: (fault) => fault,
      coalesce: false,
      commit: () => end(outermost, false),
      enter: (context5) => context5,
      exclusive: (self, settle, wait) => hold(gate, () => self(memory2), settle, wait),
      guarded: (connection) => connection,
      isLost: () => false,
      isOpen: () => Effect12.succeed(true),
      joined: () => void 0,
      lockTimeout,
      release: (_, name) => end(name, false),
      rollback: () => end(outermost, true),
      rollbackTo: (_, name) => end(name, true),
      savepoint: (_, name) => open5(name),
      single: true,
      system: "memory"
    },
    memory: memory2
  };
};
var makeMemory = Effect12.gen(function* () {
  const { engine, memory: memory2 } = makeEngine(Duration4.seconds(5));
  const access = new Access(engine, yield* Effect12.runtime());
  const kinds2 = /* @__PURE__ */ new Map();
  memory2.parts.add({
    empty: () => kinds2.clear(),
    snapshot: () => {
      const then = new Map(kinds2);
      return () => {
        kinds2.clear();
        for (const [name, kind] of then) kinds2.set(name, kind);
      };
    }
  });
  const tables = { bytes: /* @__PURE__ */ new Map(), text: /* @__PURE__ */ new Map() };
  const open5 = (tables2, kind) => (name) => access.run(
    () => Effect12.suspend(() => {
      const created = kinds2.get(name);
      if (created !== void 0 && created !== kind.name) return Effect12.fail(otherKeys(created, kind.name));
      kinds2.set(name, kind.name);
      let table = tables2.get(name);
      if (table === void 0) tables2.set(name, table = makeTable(kind, memory2));
      return Effect12.succeed(makeKeyspace(name, kind, makeDriver(access, table, kind)));
    }),
    (keyspace) => keyspace,
    { fail: failing("open", name) }
  );
  return yield* Effect12.orDie(makeService({
    access,
    keyspaces: access.run(
      () => Effect12.sync(() => Array.from(kinds2, ([name, keys]) => ({ keys, name }))),
      (keyspaces) => keyspaces,
      callOf("keyspaces")
    ),
    openBytes: open5(tables.bytes, bytesKeys),
    openText: open5(tables.text, textKeys),
    reclaim: Effect12.void,
    sweep: void 0
  }));
});

// src/internal/storage/sql.ts
import * as SqlClient2 from "@effect/sql/SqlClient";
import * as Effect17 from "effect/Effect";
import * as Option3 from "effect/Option";
import { createHash as createHash2 } from "node:crypto";

// src/internal/storage/client.ts
import * as SqlClient from "@effect/sql/SqlClient";
import { SqlError as SqlError3 } from "@effect/sql/SqlError";
import * as Context5 from "effect/Context";
import * as Duration6 from "effect/Duration";
import * as Effect16 from "effect/Effect";
import * as Stream2 from "effect/Stream";

// src/internal/storage/lender.ts
import * as Effect13 from "effect/Effect";
import * as Exit4 from "effect/Exit";
import * as Runtime2 from "effect/Runtime";
import * as Scope from "effect/Scope";
var longestLoan = 50;
var Lender = class {
  constructor(reserve, runtime4, isPool) {
    this.reserve = reserve;
    this.runtime = runtime4;
    this.isPool = isPool;
  }
  reserve;
  runtime;
  isPool;
  kept = [];
  isTurnAwaited = false;
  spoiled = /* @__PURE__ */ new Map();
  /** Runs `self` with a connection to itself, then settles. To be called in an uninterruptible region. */
  use(self, settle, wait) {
    const lend = (loan) => Effect13.matchCauseEffect(Effect13.suspend(() => self(loan.connection)), {
      onFailure: (cause) => Effect13.zipRight(this.end(loan), settle.onFailure(cause)),
      onSuccess: (value) => this.keep(loan) ? settle.onSuccess(value) : Effect13.zipRight(this.end(loan), settle.onSuccess(value))
    });
    const kept = this.kept.pop();
    return kept !== void 0 ? lend(kept) : Effect13.flatMap(
      this.borrow(wait()),
      (arrived) => Exit4.isSuccess(arrived) ? lend(arrived.value) : settle.onFailure(arrived.cause)
    );
  }
  /** Has the connection go nowhere before `repair` has succeeded, as nobody knows what state it is in. */
  spoil(connection, repair) {
    if (this.isPool) this.spoiled.set(connection, repair);
  }
  borrow(wait) {
    return Effect13.flatMap(Scope.make(), (scope3) => this.isPool ? this.borrowFromPool(scope3, wait) : Effect13.exit(
      Effect13.map(
        // It is the client's wait: without a time-out.
        Effect13.onError(wait.restore(Scope.extend(this.reserve, scope3)), () => Scope.close(scope3, Exit4.void)),
        (connection) => ({ connection, scope: scope3, since: realMillis() })
      )
    ));
  }
  /**
   * The wait ends with the time-out or an interruption; then a connection that comes later is given back at once. The
   * client is never interrupted in that: PostgreSQL's loses a connection that nobody waits for any more.
   */
  borrowFromPool(scope3, { millis: millis7, onTimeout, restore }) {
    return Effect13.suspend(() => {
      let arrived;
      let wake;
      let isOver = false;
      Runtime2.runFork(this.runtime)(Scope.extend(this.reserve, scope3)).addObserver((exit6) => {
        arrived = Exit4.map(exit6, (connection) => ({ connection, scope: scope3, since: realMillis() }));
        if (isOver) Runtime2.runFork(this.runtime)(Scope.close(scope3, Exit4.void));
        wake?.();
      });
      if (arrived !== void 0) return Effect13.succeed(arrived);
      const giveUp = Effect13.suspend(() => {
        isOver = true;
        return arrived === void 0 ? Effect13.void : Scope.close(scope3, Exit4.void);
      });
      const arrival = waitFor(millis7, (done2) => {
        if (arrived === void 0) wake = done2;
        else done2();
      });
      return Effect13.matchCauseEffect(restore(arrival), {
        onFailure: (cause) => Effect13.zipRight(giveUp, Effect13.failCause(cause)),
        onSuccess: () => arrived === void 0 ? Effect13.zipRight(giveUp, Effect13.fail(onTimeout())) : Effect13.succeed(arrived)
      });
    });
  }
  keep(loan) {
    if (!this.isPool || this.spoiled.has(loan.connection) || realMillis() - loan.since > longestLoan) return false;
    this.kept.push(loan);
    if (!this.isTurnAwaited) {
      this.isTurnAwaited = true;
      onNextTurn(() => {
        this.isTurnAwaited = false;
        for (const loan2 of this.kept.splice(0)) Runtime2.runFork(this.runtime)(this.end(loan2));
      });
    }
    return true;
  }
  end({ connection, scope: scope3 }) {
    return Effect13.suspend(() => {
      const repair = this.spoiled.get(connection);
      this.spoiled.delete(connection);
      const close3 = Scope.close(scope3, Exit4.void);
      if (repair === void 0) return close3;
      const attempt2 = Effect13.catchAll(
        repair,
        (error) => isDead(error) ? Effect13.void : Effect13.zipRight(waitFor(repairPause), attempt2)
      );
      return Effect13.sync(() => void Runtime2.runFork(this.runtime)(Effect13.zipRight(attempt2, close3)));
    });
  }
};
var repairPause = 50;
var isDead = ({ cause }) => /terminated|not queryable|closed/.test(messageOf(cause));

// src/internal/storage/postgres.ts
import { SqlError } from "@effect/sql/SqlError";
import * as Duration5 from "effect/Duration";
import * as Effect14 from "effect/Effect";
import { identity as identity2 } from "effect/Function";
import { createHash } from "node:crypto";

// src/internal/storage/dialect.ts
var migrationsTable = "kv_migrations";
var catalogTable = "kv_catalog";

// src/internal/storage/postgres.ts
var insertRows = 5e3;
var insertBytes = 8 << 20;
var maxValueBytes = 255 << 20;
var Params = class {
  values = [];
  add(value) {
    return `$${this.values.push(value)}`;
  }
};
var bounded = (params, { lower, upper }) => [
  ...lower === void 0 ? [] : [`key ${lower.inclusive ? ">=" : ">"} ${params.add(lower.key)}`],
  ...upper === void 0 ? [] : [`key ${upper.inclusive ? "<=" : "<"} ${params.add(upper.key)}`]
];
var where = (conditions) => conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
var limitParam = (limit) => limit === Infinity ? null : limit;
var toColumns = (value) => typeof value !== "string" ? [null, value] : value.includes("\0") ? ["", Buffer.from(value)] : [value, null];
var valueIssue = (value) => {
  if (value.length * 3 <= maxValueBytes) return void 0;
  const size2 = typeof value === "string" ? Buffer.byteLength(value) : value.length;
  return size2 > maxValueBytes ? `the value has ${size2} bytes and the limit on PostgreSQL is ${maxValueBytes}` : void 0;
};
var inLockOrder = (kind, entries) => {
  const compare = kind.comparing(entries.map(({ key }) => key));
  return Array.from(entries).sort((a, b) => compare(a.key, b.key)).filter(({ key }, at, sorted) => {
    const next5 = sorted[at + 1];
    return next5 === void 0 || compare(key, next5.key) !== 0;
  });
};
var insertSlices = (entries) => {
  const slices2 = [];
  let bytes2 = Infinity;
  let slice3 = [];
  for (const entry of entries) {
    bytes2 += entry.value.length;
    if (bytes2 > insertBytes || slice3.length === insertRows) {
      slices2.push(slice3 = []);
      bytes2 = entry.value.length;
    }
    slice3.push(entry);
  }
  return slices2;
};
var makeQueries = (table, kind, keyType, waits) => {
  const live3 = (now) => `(expires_at IS NULL OR expires_at > ${now})`;
  const insert = (rows) => `INSERT INTO ${table} AS old (key, expires_at, sweep_at, value, bytes) ${rows} ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at, value = excluded.value, bytes = excluded.bytes, sweep_at = CASE WHEN excluded.expires_at IS NULL THEN old.sweep_at ELSE LEAST(old.sweep_at, excluded.expires_at) END`;
  const set = insert("VALUES ($1, $2, $2, $3, $4)");
  const setAlone = insert(`VALUES ($1, CASE WHEN ${waits} THEN $2::bigint END, $2, $3, $4)`);
  const setMany = insert(
    `SELECT key, expires_at, expires_at, value, bytes FROM unnest($1::${keyType}[], $2::bigint[], $3::text[], $4::bytea[]) AS list (key, expires_at, value, bytes)`
  );
  const get2 = `SELECT value, bytes, expires_at FROM ${table} WHERE key = $1 AND ${live3("$2")}`;
  const head = `SELECT expires_at FROM ${table} WHERE key = $1 AND ${live3("$2")}`;
  const getMany = `SELECT key, value, bytes, expires_at FROM ${table} WHERE key = ANY($1::${keyType}[]) AND ${live3("$2")}`;
  const lock = `INSERT INTO ${table} AS old (key, expires_at, value) VALUES ($1, '-9223372036854775808', '') ON CONFLICT (key) DO UPDATE SET expires_at = old.expires_at RETURNING value, bytes, expires_at`;
  const remove2 = `DELETE FROM ${table} WHERE key = $1 RETURNING expires_at`;
  const removeAlone = `DELETE FROM ${table} WHERE key = $1 AND ${waits} RETURNING expires_at`;
  const removeMany = `WITH list AS (SELECT key FROM ${table} WHERE key = ANY($1::${keyType}[]) ORDER BY key FOR UPDATE) DELETE FROM ${table} AS entry USING list WHERE entry.key = list.key RETURNING expires_at`;
  const due = `WITH due AS (SELECT key FROM ${table} WHERE sweep_at <= $1 ORDER BY sweep_at LIMIT $2 FOR UPDATE SKIP LOCKED)`;
  const removeExpired = `${due} DELETE FROM ${table} AS entry USING due WHERE entry.key = due.key AND expires_at <= $1 RETURNING 1 AS gone`;
  const postpone = `${due} UPDATE ${table} AS entry SET sweep_at = expires_at FROM due WHERE entry.key = due.key AND ${live3("$1")} RETURNING 1 AS postponed`;
  const select = (columns, bounds, now, more) => {
    const params = new Params();
    const conditions = [...bounded(params, bounds), live3(params.add(now))];
    const order = `ORDER BY key${bounds.reverse ? " DESC" : ""} LIMIT ${params.add(limitParam(bounds.limit))}`;
    return [`SELECT ${columns} FROM ${table} ${where(conditions)} ${order}${more}`, params.values];
  };
  const row = ({ expiresAt, key, value }) => [key, expiresAt ?? null, ...toColumns(value)];
  return {
    clear: (bounds, now) => {
      const params = new Params();
      const list = `SELECT key FROM ${table} ${where(bounded(params, bounds))} ORDER BY key FOR UPDATE`;
      const gone = `DELETE FROM ${table} AS entry USING list WHERE entry.key = list.key RETURNING expires_at`;
      const count = `SELECT count(*) AS entries FROM gone WHERE ${live3(params.add(now))}`;
      return { _tag: "Together", queries: [[`WITH list AS (${list}), gone AS (${gone}) ${count}`, params.values]] };
    },
    entries: (bounds, now) => select("key, value, bytes, expires_at", bounds, now, ""),
    get: (key, now) => [get2, [key, now]],
    getMany: (keys, now) => [getMany, [keys, now]],
    head: (key, now) => [head, [key, now]],
    keys: (bounds, now) => select("key", bounds, now, ""),
    lock: (key) => [lock, [key]],
    postpone: (now, limit) => [postpone, [now, limitParam(limit)]],
    remove: (key, alone) => [alone ? removeAlone : remove2, [key]],
    removeExpired: (now, limit) => [removeExpired, [now, limitParam(limit)]],
    removeMany: (keys) => [removeMany, [keys]],
    set: (entry, alone) => [alone ? setAlone : set, row(entry)],
    setMany: (entries) => insertSlices(inLockOrder(kind, entries)).map((slice3) => {
      const keys = [];
      const expiries = [];
      const texts = [];
      const bytes2 = [];
      for (const { expiresAt = null, key, value } of slice3) {
        const [text2, others] = toColumns(value);
        keys.push(key);
        expiries.push(expiresAt);
        texts.push(text2);
        bytes2.push(others);
      }
      return [setMany, [keys, expiries, texts, bytes2]];
    }),
    stat: (bounds, now) => {
      const params = new Params();
      const conditions = [...bounded(params, bounds), live3(params.add(now))];
      return [
        `SELECT count(*) AS entries, coalesce(sum(octet_length(key) + coalesce(octet_length(value), 0) + coalesce(octet_length(bytes), 0)), 0) AS bytes FROM ${table} ${where(conditions)}`,
        params.values
      ];
    },
    take: (bounds, now) => {
      const [first, params] = select("key", bounds, now, " FOR UPDATE SKIP LOCKED");
      return [
        `WITH first AS (${first}) DELETE FROM ${table} AS entry USING first WHERE entry.key = first.key RETURNING entry.key, value, bytes, expires_at`,
        params
      ];
    }
  };
};
var makeTable2 = (schema, name, kind, keyType, keyColumn, waits) => ({
  create: [
    `CREATE TABLE ${schema}.${name} (key ${keyColumn} NOT NULL PRIMARY KEY, expires_at BIGINT, sweep_at BIGINT, value TEXT, bytes BYTEA)`,
    `CREATE INDEX ${name}_sweep ON ${schema}.${name} (sweep_at) WHERE sweep_at IS NOT NULL`
  ],
  prepare: () => Effect14.void,
  queries: makeQueries(`${schema}.${name}`, kind, keyType, waits)
});
var lockMillis = (lockTimeout) => {
  const millis7 = Math.ceil(Duration5.toMillis(lockTimeout));
  return millis7 > maxLockMillis ? 0 : Math.max(millis7, 1);
};
var maxLockMillis = 2 ** 31 - 1;
var digest = (name) => createHash("sha256").update(name).digest("hex");
var postgresIn = (schema, lockTimeout) => {
  const millis7 = lockMillis(lockTimeout);
  const begin = (isolation) => `BEGIN ISOLATION LEVEL ${isolation}; SET LOCAL lock_timeout = ${millis7}`;
  const qualified = (table) => `${schema}.${table}`;
  const catalog = qualified(catalogTable);
  const waits = `set_config('lock_timeout', '${millis7}', true) IS NOT NULL`;
  return {
    begin: begin("READ COMMITTED"),
    beginSerializable: begin("SERIALIZABLE"),
    bytesTable: (table) => makeTable2(schema, table, bytesKeys, "bytea", "BYTEA", waits),
    check: (connection) => Effect14.map(
      connection.execute(
        "SELECT current_setting('server_encoding') AS encoding, '\\x00'::bytea AS bytes",
        [],
        void 0
      ),
      ([row]) => row?.encoding !== "UTF8" ? new Fault(
        "Incompatible",
        `the database keeps text as ${row?.encoding}, which has not every character; create it with ENCODING 'UTF8'`
      ) : row.bytes instanceof Uint8Array ? void 0 : new Fault(
        "Incompatible",
        "the client's `types` turn bytea into something else than bytes; leave it out there"
      )
    ),
    classify: toFault,
    coalesce: false,
    // A transaction in which something failed is rolled back by COMMIT, which then succeeds.
    commit: (connection) => Effect14.flatMap(
      connection.executeRaw("COMMIT", []),
      (result) => typeof result === "object" && result !== null && "command" in result && result.command === "ROLLBACK" ? Effect14.fail(new SqlError({ cause: aborted, message: aborted.detail })) : Effect14.void
    ),
    compiling: identity2,
    findKeyspace: (name) => [`SELECT id, keys FROM ${catalog} WHERE digest = $1`, [digest(name)]],
    addKeyspace: (name, keys) => [
      `INSERT INTO ${catalog} (digest, name, keys) VALUES ($1, $2, $3) RETURNING id, keys`,
      [digest(name), name, keys]
    ],
    hasTable: (table) => ["SELECT 1 AS found WHERE to_regclass($1) IS NOT NULL", [qualified(table)]],
    isOpen: () => Effect14.succeed(true),
    migrations: [
      () => [
        `CREATE TABLE ${catalog} (id INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, digest TEXT NOT NULL UNIQUE, name TEXT NOT NULL, keys TEXT NOT NULL)`
      ]
    ],
    qualified,
    recompiling: identity2,
    // The server's own autovacuum does.
    reclaim: () => Effect14.succeed(0),
    release: (name) => `RELEASE SAVEPOINT ${name}`,
    rollback: "ROLLBACK",
    rollbackTo: (name) => `ROLLBACK TO SAVEPOINT ${name}`,
    savepoint: (connection, name) => Effect14.map(
      // Not as a timestamp, which settings of the session word otherwise.
      connection.execute(`SAVEPOINT ${name}; SELECT extract(epoch FROM now())::text AS began`, [], void 0),
      (answers) => JSON.stringify(answers)
    ),
    settle: () => Effect14.void,
    single: false,
    system: "postgresql",
    textTable: (table) => makeTable2(schema, table, textKeys, "text", `TEXT COLLATE "C"`, waits),
    toValue: ({ bytes: bytes2, value }) => !(bytes2 instanceof Uint8Array) ? String(value) : value === null ? new Uint8Array(bytes2) : Buffer.from(bytes2.buffer, bytes2.byteOffset, bytes2.byteLength).toString(),
    valueIssue,
    written: (result) => typeof result === "object" && result !== null && "rowCount" in result ? Number(result.rowCount) : 0
  };
};
var findSchema = `SELECT quote_ident(coalesce((SELECT nspname FROM pg_class AS found JOIN pg_namespace AS namespace ON namespace.oid = relnamespace WHERE found.oid = to_regclass('${migrationsTable}')), current_schema())) AS schema`;
var postgres = (lockTimeout) => ({
  classify: toFault,
  dialect: (connection) => Effect14.flatMap(connection.execute(findSchema, [], void 0), ([row]) => typeof row?.schema === "string" ? Effect14.succeed(postgresIn(row.schema, lockTimeout)) : Effect14.fail(
    new Fault(
      "Unavailable",
      "no schema of the search_path exists, or may be used; create one, or set another path"
    )
  )),
  single: false
});
var aborted = new Fault(
  "Closed",
  "the transaction was lost when a statement in it failed, and nothing of it is kept; have what may fail roll back to a savepoint: a nested transaction",
  void 0,
  "aftermath"
);
var causes = [
  [/^(40001|40P01)$/, "Busy", "it was lost to a concurrent transaction; try again"],
  [/^53[14]00$/, "Full", "there is no room left on the server; free some and try again"],
  [/^25006$/, "ReadOnly", "the server accepts no writes: it is a standby, or the session is read-only"],
  [/^XX00[12]$/, "Corrupt", "the server found damaged data; see its log, and restore a backup"],
  [/^(42501|28...)$/, "Permission", "the server refused access; check the user, its password and its rights"],
  [/^(54...|22...)$/, "InvalidValue", "the server cannot hold the value as it is"],
  [
    /^(08...|57P0.|53[23]00|3D000|25P0[34]|E[A-Z_]+|(SELF_SIGNED|CERT|DEPTH_ZERO|UNABLE_TO)_.+)$/,
    "Unavailable",
    "the server cannot be reached, or the connection was lost; whether a write or commit under way was done is not known"
  ]
];
var isCreated = (code, message) => /^(42P07|42701|42710|23505)$/.test(code) && /\b(kv|pg)_/.test(message);
var toFault = (error) => error.cause instanceof Fault ? error.cause : classify(error.cause, error);
var classify = (cause, error) => {
  const code = codeOf(cause);
  const message = messageOf(cause);
  if (code === "25P02") return aborted;
  if (code === "25P01") return closedFault;
  if (isCreated(code, message)) {
    return new Fault("Busy", `another process is creating the same table; try again (${message})`, error);
  }
  if (/^(55P03|57014)$/.test(code)) {
    const detail = `another transaction held the lock for too long, or the statement took too long (${message})`;
    return new Fault("Busy", detail, error, "waited");
  }
  const found = findCause(causes, cause, error);
  if (found !== void 0) return found;
  if (code === "0A000" && message.includes("hot standby")) {
    return new Fault("ReadOnly", `the server is a standby, which has no serializable transactions (${message})`, error);
  }
  if (/pool after calling end/.test(message)) {
    return new Fault("Closed", "the database was closed; keep its scope open for as long as it is used", error);
  }
  return /connect|terminated|timeout|not queryable/i.test(message) && code === "" ? new Fault("Unavailable", `the server cannot be reached, or the connection was lost (${message})`, error) : new Fault("Unknown", message, error);
};

// src/internal/storage/sqlite.ts
import { SqlError as SqlError2 } from "@effect/sql/SqlError";
import * as Effect15 from "effect/Effect";
var live2 = "(expires_at IS NULL OR expires_at > ?)";
var insertSizes = [500, 50, 5, 1];
var reclaimed = 100;
var where2 = ({ lower, upper }, ...more) => {
  const conditions = [
    ...lower === void 0 ? [] : [`key ${lower.inclusive ? ">=" : ">"} ?`],
    ...upper === void 0 ? [] : [`key ${upper.inclusive ? "<=" : "<"} ?`],
    ...more
  ];
  return conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
};
var boundParams = ({ lower, upper }) => [
  ...lower === void 0 ? [] : [lower.key],
  ...upper === void 0 ? [] : [upper.key]
];
var limitParam2 = (limit) => limit === Infinity ? -1 : limit;
var ordered = ({ reverse }) => `ORDER BY key${reverse ? " DESC" : ""} LIMIT ?`;
var makeQueries2 = (table, one, toJson2) => {
  const get2 = `SELECT value, expires_at FROM ${table} WHERE key = ? AND ${live2}`;
  const head = `SELECT expires_at FROM ${table} WHERE key = ? AND ${live2}`;
  const getMany = `SELECT list.key AS position, entry.value, expires_at FROM json_each(?) AS list CROSS JOIN ${table} AS entry ON entry.key = ${one} WHERE ${live2}`;
  const insert = (size2, columns, row) => `INSERT INTO ${table} (${columns}) VALUES ${Array(size2).fill(row).join(", ")} ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at, value = excluded.value`;
  const lasting = (size2) => insert(size2, "key, value", "(?, ?)");
  const expiring = (size2) => insert(size2, "key, expires_at, sweep_at, value", "(?, ?, ?, ?)");
  const inserts = insertSizes.map((size2) => ({
    expiring: `${expiring(size2)}, sweep_at = excluded.sweep_at`,
    lasting: lasting(size2),
    size: size2
  }));
  const setLasting = lasting(1);
  const set = `${expiring(1)} WHERE ${table}.sweep_at <= excluded.expires_at`;
  const remove2 = `DELETE FROM ${table} WHERE key = ? RETURNING expires_at`;
  const removeMany = `DELETE FROM ${table} WHERE key IN (SELECT ${one} FROM json_each(?) AS list) RETURNING expires_at`;
  const due = `SELECT rowid AS id, expires_at FROM ${table} WHERE sweep_at <= ? ORDER BY sweep_at LIMIT ?`;
  const removeExpired = `DELETE FROM ${table} WHERE rowid IN (SELECT id FROM (${due}) WHERE expires_at <= ?) RETURNING 1 AS gone`;
  const postpone = `UPDATE ${table} SET sweep_at = expires_at WHERE rowid IN (SELECT id FROM (${due}) WHERE expires_at IS NULL OR expires_at > ?) RETURNING 1 AS postponed`;
  const stat = (bounds, now) => [
    `SELECT count(*) AS entries, coalesce(sum(octet_length(key) + octet_length(value)), 0) AS bytes FROM ${table} ${where2(bounds, live2)}`,
    [...boundParams(bounds), now]
  ];
  return {
    clear: (bounds, now) => bounds.lower === void 0 && bounds.upper === void 0 ? { _tag: "Together", queries: [stat(bounds, now), [`DELETE FROM ${table}`, []]] } : {
      _tag: "Sliced",
      slice: (limit) => [
        `DELETE FROM ${table} WHERE key IN (SELECT key FROM ${table} ${where2(bounds)} LIMIT ?) RETURNING expires_at`,
        [...boundParams(bounds), limit]
      ]
    },
    entries: (bounds, now) => [
      `SELECT key, value, expires_at FROM ${table} ${where2(bounds, live2)} ${ordered(bounds)}`,
      [...boundParams(bounds), now, limitParam2(bounds.limit)]
    ],
    get: (key, now) => [get2, [key, now]],
    head: (key, now) => [head, [key, now]],
    lock: (key, now) => [get2, [key, now]],
    getMany: (keys, now) => [getMany, [toJson2(keys), now]],
    keys: (bounds, now) => [
      `SELECT key FROM ${table} ${where2(bounds, live2)} ${ordered(bounds)}`,
      [...boundParams(bounds), now, limitParam2(bounds.limit)]
    ],
    remove: (key) => [remove2, [key]],
    postpone: (now, limit) => [postpone, [now, limitParam2(limit), now]],
    removeExpired: (now, limit) => [removeExpired, [now, limitParam2(limit), now]],
    removeMany: (keys) => [removeMany, [toJson2(keys)]],
    set: ({ expiresAt, key, value }) => expiresAt === void 0 ? [setLasting, [key, value]] : [set, [key, expiresAt, expiresAt, value]],
    setMany: (entries) => {
      const expires = entries.some(({ expiresAt }) => expiresAt !== void 0);
      const queries = [];
      let at = 0;
      for (const { expiring: expiring2, lasting: lasting2, size: size2 } of inserts) {
        for (; at + size2 <= entries.length; at += size2) {
          const params = [];
          for (const { expiresAt = null, key, value } of entries.slice(at, at + size2)) {
            if (expires) params.push(key, expiresAt, expiresAt, value);
            else params.push(key, value);
          }
          queries.push([expires ? expiring2 : lasting2, params]);
        }
      }
      return queries;
    },
    stat,
    take: (bounds, now) => [
      `DELETE FROM ${table} WHERE key IN (SELECT key FROM ${table} ${where2(bounds, live2)} ${ordered(bounds)}) RETURNING key, value, expires_at`,
      [...boundParams(bounds), now, limitParam2(bounds.limit)]
    ]
  };
};
var sweepIndex = (table) => `CREATE INDEX ${table}_sweep ON ${table} (sweep_at) WHERE sweep_at IS NOT NULL`;
var makeTable3 = (table, keyType, queries, example) => ({
  create: [
    `CREATE TABLE ${table} (key ${keyType} NOT NULL PRIMARY KEY, expires_at INTEGER, sweep_at INTEGER, value ANY NOT NULL) STRICT`,
    sweepIndex(table)
  ],
  queries,
  prepare: (connection) => {
    const lasting = { expiresAt: void 0, key: example, value: "" };
    const expiring = { ...lasting, expiresAt: 0 };
    const texts = [
      queries.get(example, 0),
      queries.head(example, 0),
      queries.getMany([], 0),
      queries.set(lasting, true),
      queries.set(expiring, true),
      // Those of many that expire are compiled at the first use: they take a millisecond, and few keyspaces have both.
      ...queries.setMany([expiring]),
      ...insertSizes.flatMap((size2) => queries.setMany(Array(size2).fill(lasting))),
      queries.remove(example, true),
      queries.removeMany([]),
      queries.removeExpired(0, 0),
      queries.postpone(0, 0)
    ].map(([text2]) => text2);
    const load = compiling(connection).execute(`SELECT 1 FROM ${table} LIMIT 1`, [], void 0);
    const compile = Effect15.forEach(
      new Set(texts),
      (text2) => Effect15.catchIf(
        connection.execute(text2, [], void 0),
        ({ cause }) => cause instanceof RangeError,
        () => Effect15.void
      ),
      { discard: true }
    );
    return Effect15.zipRight(load, compile);
  }
});
var hex = (key) => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("hex");
var like = (connection, own) => ({
  execute: (sql, params, transformRows) => connection.execute(sql, params, transformRows),
  executeRaw: (sql, params) => connection.executeRaw(sql, params),
  executeStream: (sql, params, transformRows) => connection.executeStream(sql, params, transformRows),
  executeUnprepared: (sql, params, transformRows) => connection.executeUnprepared(sql, params, transformRows),
  executeValues: (sql, params) => connection.executeValues(sql, params),
  ...own
});
var compiling = (connection) => like(connection, {
  execute: (sql, params, transformRows) => Effect15.suspend(() => {
    try {
      return connection.executeUnprepared(sql, params, transformRows);
    } catch (cause) {
      return Effect15.fail(new SqlError2({ cause, message: notCompiled }));
    }
  })
});
var recompiling = (connection) => {
  const anew = compiling(connection);
  const again = (self, orElse) => Effect15.catchAll(self, (error) => error.message === notCompiled ? orElse() : Effect15.fail(error));
  return like(connection, {
    execute: (sql, params, transformRows) => again(connection.execute(sql, params, transformRows), () => anew.execute(sql, params, transformRows)),
    // The rows of what has none: whoever asks how many were written is told that it was none.
    executeRaw: (sql, params) => again(connection.executeRaw(sql, params), () => anew.execute(sql, params, void 0))
  });
};
var notCompiled = "Failed to prepare statement ";
var sqlite = {
  addKeyspace: (name, keys) => ["INSERT INTO kv_catalog (name, keys) VALUES (?, ?) RETURNING id, keys", [name, keys]],
  begin: "BEGIN IMMEDIATE",
  beginSerializable: "BEGIN IMMEDIATE",
  bytesTable: (table) => makeTable3(
    table,
    "BLOB",
    makeQueries2(table, "unhex(list.value)", (keys) => JSON.stringify(keys.map(hex))),
    new Uint8Array()
  ),
  check: (connection) => Effect15.map(connection.execute("PRAGMA encoding", [], void 0), (rows) => {
    const encoding = rows[0]?.encoding;
    return encoding === "UTF-8" ? void 0 : new Fault(
      "Incompatible",
      `the database keeps text as ${encoding}, in which keys have another order; use a database in UTF-8`
    );
  }),
  classify: (error) => {
    if (error.cause instanceof Fault) return error.cause;
    const { cause, detail, reason } = classify2(error.cause, error);
    return new Fault(reason, detail, cause, error.message === notCompiled ? "remembered" : void 0);
  },
  coalesce: true,
  commit: (connection) => Effect15.asVoid(compiling(connection).execute("COMMIT", [], void 0)),
  compiling,
  findKeyspace: (name) => ["SELECT id, keys FROM kv_catalog WHERE name = ?", [name]],
  hasTable: (name) => ["SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = ?", [name]],
  // SQLite has no other way to tell: a BEGIN that succeeds shows that no transaction was open.
  isOpen: (connection) => Effect15.matchEffect(compiling(connection).execute("BEGIN", [], void 0), {
    onFailure: () => Effect15.succeed(true),
    onSuccess: () => Effect15.as(Effect15.ignore(compiling(connection).execute("ROLLBACK", [], void 0)), false)
  }),
  migrations: [
    () => [
      "CREATE TABLE kv_catalog (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, keys TEXT NOT NULL) STRICT"
    ],
    (tables) => tables.flatMap((table) => [
      `ALTER TABLE ${table} ADD COLUMN sweep_at INTEGER`,
      `UPDATE ${table} SET sweep_at = expires_at WHERE expires_at IS NOT NULL`,
      `DROP INDEX ${table}_expiry`,
      sweepIndex(table)
    ])
  ],
  qualified: (table) => table,
  recompiling,
  // One run frees one page, and none where auto_vacuum is off.
  reclaim: (connection) => {
    const free = Effect15.map(
      connection.execute("PRAGMA freelist_count", [], void 0),
      ([row]) => Number(row?.freelist_count)
    );
    const pages = (count) => Effect15.replicateEffect(connection.execute("PRAGMA incremental_vacuum(1)", [], void 0), count, {
      discard: true
    });
    return Effect15.flatMap(free, (count) => Effect15.zipRight(pages(Math.min(count, reclaimed)), free));
  },
  release: (name) => `RELEASE SAVEPOINT ${name}`,
  rollback: "ROLLBACK",
  rollbackTo: (name) => `ROLLBACK TO SAVEPOINT ${name}`,
  savepoint: (connection, name) => Effect15.as(compiling(connection).execute(`SAVEPOINT ${name}`, [], void 0), ""),
  // Left to SQLite, the log is copied a thousand pages at a time, while the event loop waits.
  settle: (connection) => connection.execute("PRAGMA wal_checkpoint(PASSIVE)", [], void 0),
  single: true,
  system: "sqlite",
  textTable: (table) => makeTable3(table, "TEXT", makeQueries2(table, "list.value", (keys) => JSON.stringify(keys)), ""),
  // The driver gives a Buffer; a plain Uint8Array over the same memory is what other engines give.
  toValue: ({ value }) => value instanceof Uint8Array ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : String(value),
  // It says so itself.
  valueIssue: () => void 0,
  written: (result) => typeof result === "object" && result !== null && "changes" in result ? Number(result.changes) : 0
};
var causes2 = [
  [/^SQLITE_(BUSY|PROTOCOL)/, "Busy", "another connection holds the lock"],
  [/^SQLITE_LOCKED/, "Busy", "something that is still open on this connection, a transaction perhaps, is in the way"],
  [/^SQLITE_FULL/, "Full", "there is no room left for the database; free some and try again"],
  [/^SQLITE_READONLY/, "ReadOnly", "the database cannot be written: it was opened read-only, or its file or folder is"],
  [/^SQLITE_CORRUPT/, "Corrupt", "the database file is damaged; restore a backup or recover it with the sqlite3 shell"],
  [/^SQLITE_NOTADB/, "NotADatabase", "the file is not a SQLite database, or it is encrypted; check the file name"],
  [/^SQLITE_(PERM|AUTH)/, "Permission", "access to the database was refused; check the rights of its file and folder"],
  [/^SQLITE_(CANTOPEN|IOERR|NOLFS)/, "Unavailable", "the database file cannot be opened, read or written"],
  [/^SQLITE_TOOBIG/, "InvalidValue", "the value is larger than SQLite's limit of 1,000,000,000 bytes"]
];
var classify2 = (cause, error = cause) => {
  const message = messageOf(cause);
  const found = findCause(causes2, cause, error);
  if (found !== void 0) return found;
  if (cause instanceof TypeError && message.includes("database connection is not open")) {
    return new Fault("Closed", "the database was closed; keep its scope open for as long as it is used", error);
  }
  return new Fault("Unknown", message, error);
};

// src/internal/storage/client.ts
var accesses = /* @__PURE__ */ new WeakMap();
var registerAccess = (client, access) => {
  accesses.set(client.reserve, access);
};
var toSqlError = (fault) => fault.cause instanceof SqlError3 ? fault.cause : new SqlError3({ cause: fault, message: fault.detail });
var guarded = (connection, { end, failed }) => {
  const guard = (run2) => Effect16.suspend(() => {
    const fault = end();
    return fault === void 0 ? Effect16.tapError(run2(), failed) : Effect16.fail(toSqlError(fault));
  });
  return {
    execute: (sql, params, transformRows) => guard(() => connection.execute(sql, params, transformRows)),
    executeRaw: (sql, params) => guard(() => connection.executeRaw(sql, params)),
    executeStream: (sql, params, transformRows) => Stream2.tapError(connection.executeStream(sql, params, transformRows), failed),
    executeUnprepared: (sql, params, transformRows) => guard(() => connection.executeUnprepared(sql, params, transformRows)),
    executeValues: (sql, params) => guard(() => connection.executeValues(sql, params))
  };
};
var gatedConnection = (access, dialect) => {
  const run2 = (body) => access.statement(body, toSqlError);
  return {
    execute: (sql, params, transformRows) => run2((_) => _.execute(sql, params, transformRows)),
    executeRaw: (sql, params) => run2((_) => _.executeRaw(sql, params)),
    executeStream: (sql, params, transformRows) => dialect.single ? Stream2.fromIterableEffect(run2((_) => _.execute(sql, params, transformRows))) : Stream2.unwrap(run2((_) => Effect16.succeed(_.executeStream(sql, params, transformRows)))),
    executeUnprepared: (sql, params, transformRows) => run2((_) => dialect.compiling(_).execute(sql, params, transformRows)),
    executeValues: (sql, params) => run2((_) => _.executeValues(sql, params))
  };
};
var dialectCommands = (dialect) => {
  const command = (text2) => (connection) => Effect16.asVoid(dialect.compiling(connection).execute(text2, [], void 0));
  return {
    begin: (connection, serializable) => command(serializable ? dialect.beginSerializable : dialect.begin)(connection),
    careful: dialect.recompiling,
    classify: dialect.classify,
    coalesce: dialect.coalesce,
    commit: dialect.commit,
    guarded,
    isOpen: dialect.isOpen,
    single: dialect.single,
    system: dialect.system,
    release: (connection, name) => command(dialect.release(name))(connection),
    rollback: command(dialect.rollback),
    rollbackTo: (connection, name) => command(dialect.rollbackTo(name))(connection),
    isLost: (error) => error instanceof SqlError3 && dialect.classify(error).reason === "Busy",
    savepoint: (connection, name) => Effect16.asVoid(dialect.savepoint(connection, name))
  };
};
var ofSqlite = { ...sqlite, dialect: () => Effect16.succeed(sqlite) };
var unsupported = (what) => new StorageError({
  detail: `Storage runs on SQLite and PostgreSQL, and not on ${what}; provide a client of one of them, or Storage.layerMemory`,
  method: "open",
  reason: "Unavailable"
});
var libsql = /* @__PURE__ */ Symbol.for("@effect/sql-libsql/LibsqlClient");
var accessOf = (client, lockTimeout) => Effect16.gen(function* () {
  const known2 = accesses.get(client.reserve);
  if (known2 !== void 0) return known2;
  const kind = yield* client.onDialectOrElse({
    orElse: () => Effect16.fail(unsupported("this database")),
    pg: () => Effect16.succeed(postgres(lockTimeout)),
    sqlite: () => libsql in client ? Effect16.fail(unsupported("libSQL")) : Effect16.succeed(ofSqlite)
  });
  const runtime4 = yield* Effect16.runtime();
  const lender = new Lender(client.reserve, runtime4, !kind.single);
  const [own, dialect] = yield* Effect16.mapError(
    Effect16.uninterruptibleMask(
      (restore) => lender.use((connection) => Effect16.zip(Effect16.succeed(connection), kind.dialect(connection)), {
        onFailure: Effect16.failCause,
        onSuccess: Effect16.succeed
      }, () => ({
        millis: Duration6.toMillis(lockTimeout),
        onTimeout: () => new Fault("Busy", `the client had no connection free for ${Duration6.format(lockTimeout)}`),
        restore
      }))
    ),
    (error) => failing("open")(error instanceof Fault ? error : kind.classify(error))
  );
  const other = accesses.get(client.reserve);
  if (other !== void 0) return other;
  const access = new Access({
    ...bareEngine(lender, dialect, own, lockTimeout),
    enter: (context5, { depth }) => Context5.add(context5, SqlClient.TransactionConnection, [gated, depth])
  }, runtime4);
  const gated = gatedConnection(access, dialect);
  const made = { access, dialect };
  accesses.set(client.reserve, made);
  return made;
});
var bareEngine = (lender, dialect, own, lockTimeout) => {
  const prototype = Object.getPrototypeOf(own);
  const isOwn = (connection) => connection === own || prototype !== Object.prototype && Object.getPrototypeOf(connection) === prototype;
  const joined = /* @__PURE__ */ new WeakMap();
  const gates = /* @__PURE__ */ new WeakMap();
  const open5 = /* @__PURE__ */ new Set();
  const endOthers = () => {
    for (const level of open5) level.ended = true;
    open5.clear();
  };
  const transactions = /* @__PURE__ */ new WeakMap();
  const commands = dialectCommands(dialect);
  const orSpoil = (connection, self) => Effect16.tapError(self, () => Effect16.sync(() => lender.spoil(connection, commands.rollback(connection))));
  return {
    ...commands,
    begin: (connection, serializable) => orSpoil(connection, commands.begin(connection, serializable)),
    exclusive: (self, settle, wait) => {
      const alone = (connection) => {
        endOthers();
        return self(connection);
      };
      return lender.use(alone, settle, wait);
    },
    joined: (context5, makeLevel) => {
      const transaction = context5.unsafeMap.get(
        SqlClient.TransactionConnection.key
      );
      if (transaction === void 0 || !isOwn(transaction[0])) return void 0;
      let level = joined.get(transaction);
      if (level === void 0) {
        if (dialect.single && transaction[1] === 0) endOthers();
        const [connection] = transaction;
        const gate = gates.get(connection) ?? new Gate();
        gates.set(connection, gate);
        joined.set(transaction, level = makeLevel(dialect.recompiling(connection), gate));
        if (dialect.single) open5.add(level);
      }
      return level;
    },
    lockTimeout,
    rollback: (connection) => orSpoil(connection, commands.rollback(connection)),
    savepoint: (connection, name) => Effect16.flatMap(dialect.savepoint(connection, name), (now) => {
      const before = transactions.get(connection) ?? now;
      transactions.set(connection, before);
      return now === before ? Effect16.void : Effect16.zipRight(
        Effect16.ignore(commands.release(connection, name)),
        Effect16.fail(toSqlError(closedFault))
      );
    })
  };
};

// src/internal/storage/sql.ts
var slice = 1e4;
var clearSlice = 1e3;
var settleEvery = 64;
var execute = (connection, [text2, params]) => connection.execute(text2, params, void 0);
var executeAll = (connection, queries) => Effect17.forEach(queries, (query) => execute(connection, query), { discard: true });
var toExpiry2 = (expiresAt) => expiresAt === null ? void 0 : Number(expiresAt);
var liveRows = (rows, now) => {
  let count = 0;
  for (const row of rows) if (row.expires_at === null || Number(row.expires_at) > now) count++;
  return count;
};
var slices = (items) => {
  const out = [];
  for (let at = 0; at < items.length; at += slice) out.push(items.slice(at, at + slice));
  return out;
};
var ordered2 = (kind, keys) => keys.length <= slice ? keys : Array.from(keys).sort(kind.comparing(keys));
var makeDriver2 = (access, dialect, { queries }, kind, toKey) => {
  const toEntry = (row) => ({
    expiresAt: toExpiry2(row.expires_at),
    key: toKey(row.key),
    value: dialect.toValue(row)
  });
  const entryOf = (key, row) => ({
    expiresAt: toExpiry2(row.expires_at),
    key: kind.copy(key),
    value: dialect.toValue(row)
  });
  const first = (key) => (rows) => {
    const row = rows[0];
    return row === void 0 ? Option3.none() : Option3.some(entryOf(key, row));
  };
  const refusal = ({ value }) => {
    const issue = dialect.valueIssue(value);
    return issue === void 0 ? void 0 : Effect17.fail(new Fault("InvalidValue", issue));
  };
  const put2 = (connection, entry, alone) => {
    const refused = refusal(entry);
    if (refused !== void 0) return refused;
    const query = queries.set(entry, alone);
    return entry.expiresAt === void 0 ? execute(connection, query) : Effect17.flatMap(
      connection.executeRaw(...query),
      (result) => dialect.written(result) > 0 ? Effect17.void : executeAll(connection, queries.setMany([entry]))
    );
  };
  const change = (connection, key, change2) => change2._tag === "Remove" ? execute(connection, queries.remove(key, false)) : put2(connection, { expiresAt: change2.expiresAt, key, value: change2.value }, false);
  const now = (clock) => Math.floor(clock.unsafeCurrentTimeMillis());
  let unsettled = 0;
  const settle = (connection, removed) => {
    unsettled += removed;
    if (unsettled < settleEvery) return Effect17.void;
    unsettled = 0;
    return Effect17.ignore(dialect.settle(connection));
  };
  return {
    get: (key, done2, call) => {
      const found = first(key);
      return access.read(
        (connection, clock) => execute(connection, queries.get(key, now(clock))),
        (rows) => done2(found(rows)),
        call
      );
    },
    head: (key, done2, call) => access.read(
      (connection, clock) => execute(connection, queries.head(key, now(clock))),
      ([row]) => done2(row === void 0 ? Option3.none() : Option3.some({ expiresAt: toExpiry2(row.expires_at) })),
      call
    ),
    getMany: (keys, call) => Effect17.map(
      Effect17.forEach(slices(keys), (keys2) => access.read((connection, clock) => execute(connection, queries.getMany(keys2, now(clock))), (rows) => {
        if (rows[0] !== void 0 && !("position" in rows[0])) {
          const byKey2 = new Map(rows.map((row) => [kind.identity(toKey(row.key)), row]));
          return keys2.map((key) => {
            const row = byKey2.get(kind.identity(key));
            return row === void 0 ? Option3.none() : Option3.some(entryOf(key, row));
          });
        }
        const found = new Array(keys2.length).fill(Option3.none());
        for (const row of rows) {
          const position = Number(row.position);
          const key = keys2[position];
          if (key !== void 0) found[position] = Option3.some(entryOf(key, row));
        }
        return found;
      }, call)),
      (parts) => parts.length === 1 && parts[0] !== void 0 ? parts[0] : parts.flat()
    ),
    set: (entry, done2, call) => access.write((connection, _, place) => put2(connection, entry, place === "alone"), done2, call),
    setMany: (entries, call) => {
      for (const entry of entries) {
        const refused = refusal(entry);
        if (refused !== void 0) return Effect17.mapError(refused, call.fail);
      }
      const all4 = queries.setMany(entries);
      return access.atomic((connection) => executeAll(connection, all4), () => void 0, call);
    },
    modify: (key, f, call) => access.update(
      (connection, clock, place) => {
        const time2 = now(clock);
        return Effect17.flatMap(execute(connection, queries.lock(key, time2)), (rows) => {
          const locked = first(key)(rows);
          const live3 = Option3.filter(locked, ({ expiresAt = Infinity }) => expiresAt > time2);
          const [answer, what] = f(live3);
          if (what._tag !== "Keep") return Effect17.as(change(connection, key, what), { answer, keep: false });
          const isMade = Option3.exists(locked, ({ expiresAt = 0 }) => expiresAt < Number.MIN_SAFE_INTEGER);
          const unlock = place === "foreign" && isMade ? execute(connection, queries.remove(key, false)) : Effect17.void;
          return Effect17.as(unlock, { answer, keep: true });
        });
      },
      ({ answer }) => answer,
      ({ keep: keep3 }) => keep3,
      call
    ),
    remove: (key, call) => access.write(
      (connection, clock, place) => Effect17.map(execute(connection, queries.remove(key, place === "alone")), (rows) => liveRows(rows, now(clock)) > 0),
      (removed) => removed,
      call
    ),
    removeMany: (keys, call) => access.atomic(
      (connection, clock) => Effect17.reduce(slices(ordered2(kind, keys)), 0, (count, keys2) => Effect17.map(
        execute(connection, queries.removeMany(keys2)),
        (rows) => count + liveRows(rows, now(clock))
      )),
      (count) => count,
      call
    ),
    take: (bounds, call) => access.write(
      (connection, clock) => execute(connection, queries.take(bounds, now(clock))),
      (rows) => {
        const order = bounds.reverse ? -1 : 1;
        return rows.map(toEntry).sort((a, b) => order * kind.compare(a.key, b.key));
      },
      call
    ),
    entries: (bounds, call) => access.read(
      (connection, clock) => execute(connection, queries.entries(bounds, now(clock))),
      (rows) => rows.map(toEntry),
      call
    ),
    keys: (bounds, call) => access.read(
      (connection, clock) => execute(connection, queries.keys(bounds, now(clock))),
      (rows) => rows.map((row) => toKey(row.key)),
      call
    ),
    stat: (bounds, call) => access.read(
      (connection, clock) => execute(connection, queries.stat(bounds, now(clock))),
      ([row]) => ({ bytes: Number(row?.bytes), entries: Number(row?.entries) }),
      call
    ),
    clear: (bounds, call) => access.atomic(
      (connection, clock) => {
        const clearing = queries.clear(bounds, now(clock));
        if (clearing._tag === "Together") {
          return Effect17.map(
            Effect17.forEach(clearing.queries, (query2) => execute(connection, query2)),
            (answers) => Number(answers.flat()[0]?.entries)
          );
        }
        const query = clearing.slice(clearSlice);
        const loop = (count) => Effect17.flatMap(execute(connection, query), (rows) => {
          const total = count + liveRows(rows, now(clock));
          return rows.length < clearSlice ? Effect17.succeed(total) : Effect17.zipRight(nextTurn, loop(total));
        });
        return loop(0);
      },
      (count) => count,
      call
    ),
    removeExpired: (limit, call) => Effect17.flatMap(access.level, (level) => access.run(
      (connection, clock) => {
        const time2 = now(clock);
        return Effect17.flatMap(execute(connection, queries.removeExpired(time2, limit)), ({ length: removed }) => {
          const rest = limit - removed;
          const postpone = Effect17.map(execute(connection, queries.postpone(time2, rest)), ({ length }) => length);
          const postponed = rest === 0 ? Effect17.succeed(0) : level === void 0 ? Effect17.orElseSucceed(postpone, () => rest) : postpone;
          return Effect17.map(
            level === void 0 ? Effect17.zipLeft(postponed, settle(connection, removed)) : postponed,
            (postponed2) => ({ more: limit > 0 && postponed2 === rest, removed })
          );
        });
      },
      (slice3) => slice3,
      call
    ))
  };
};
var textKey = (key) => String(key);
var bytesKey = (key) => key instanceof Uint8Array ? new Uint8Array(key) : new Uint8Array();
var tableName = (id, name) => {
  const prefix2 = `kv_${id}_${createHash2("sha256").update(JSON.stringify(name)).digest("hex").slice(0, 8)}_`;
  return prefix2 + name.toLowerCase().replace(/[^a-z0-9]+/g, "_").slice(0, 40 - prefix2.length);
};
var migrate = (access, dialect) => {
  const versionOf = (connection) => Effect17.flatMap(execute(connection, dialect.hasTable(migrationsTable)), (found) => found.length === 0 ? Effect17.succeed(0) : Effect17.map(
    execute(connection, [
      `SELECT coalesce(max(version), 0) AS version FROM ${dialect.qualified(migrationsTable)}`,
      []
    ]),
    ([row]) => Number(row?.version)
  ));
  const ddl = (connection, text2) => connection.executeUnprepared(text2, [], void 0);
  const missing = (connection) => Effect17.gen(function* () {
    const version = yield* versionOf(connection);
    if (version === 0) {
      yield* ddl(
        connection,
        `CREATE TABLE ${dialect.qualified(migrationsTable)} (version INTEGER NOT NULL PRIMARY KEY)`
      );
    }
    const catalog = version === 0 ? [] : yield* execute(connection, [`SELECT id, name FROM ${dialect.qualified(catalogTable)}`, []]);
    const tables = catalog.map(({ id, name }) => tableName(Number(id), JSON.parse(String(name))));
    for (let next5 = version; next5 < dialect.migrations.length; next5++) {
      yield* ddl(connection, `INSERT INTO ${dialect.qualified(migrationsTable)} (version) VALUES (${next5 + 1})`);
      for (const text2 of dialect.migrations[next5]?.(tables) ?? []) yield* ddl(connection, text2);
    }
  });
  const fail24 = failing("open");
  return Effect17.gen(function* () {
    const fault = yield* access.run((connection) => dialect.check(connection), (fault2) => fault2, { fail: fail24 });
    if (fault !== void 0) return yield* Effect17.fail(fail24(fault));
    const known2 = dialect.migrations.length;
    const version = yield* access.run(versionOf, (version2) => version2, { fail: fail24 });
    if (version > known2) {
      return yield* Effect17.fail(fail24(
        new Fault(
          "Incompatible",
          `the database was written by a newer effect-kv: its tables have version ${version}, this one knows ${known2}; upgrade effect-kv`
        )
      ));
    }
    if (version < known2) yield* access.atomic(missing, () => void 0, { fail: fail24 });
  });
};
var register = (access, dialect, name, kind) => {
  const fail24 = failing("open", name);
  const stored = JSON.stringify(name);
  const find = dialect.findKeyspace(stored);
  const create = (connection) => Effect17.gen(function* () {
    const [found] = yield* execute(connection, find);
    if (found !== void 0) return found;
    const [row] = yield* execute(connection, dialect.addKeyspace(stored, kind));
    const table = tableName(Number(row?.id), name);
    const { create: create2 } = kind === "text" ? dialect.textTable(table) : dialect.bytesTable(table);
    for (const text2 of create2) yield* connection.executeUnprepared(text2, [], void 0);
    return row;
  });
  return Effect17.gen(function* () {
    const [found] = yield* access.run((connection) => execute(connection, find), (rows) => rows, { fail: fail24 });
    const row = found ?? (yield* access.atomic(create, (row2) => row2, { fail: fail24 }));
    if (row?.keys !== kind) {
      return yield* Effect17.fail(fail24(otherKeys(String(row?.keys), kind)));
    }
    return tableName(Number(row.id), name);
  });
};
var registered = (access, dialect) => access.run(
  (connection) => execute(connection, [`SELECT name, keys FROM ${dialect.qualified(catalogTable)}`, []]),
  (rows) => rows.map(({ keys, name }) => ({ keys: keys === "bytes" ? "bytes" : "text", name: JSON.parse(String(name)) })),
  callOf("keyspaces")
);
var makeSql = (options = {}) => Effect17.gen(function* () {
  const client = yield* SqlClient2.SqlClient;
  const lockTimeout = yield* Effect17.mapError(
    durationSetting("lockTimeout", options.lockTimeout ?? "5 seconds"),
    failing("open")
  );
  const { access, dialect } = yield* accessOf(client, lockTimeout);
  yield* Effect17.addFinalizer(() => access.flush);
  yield* migrate(access, dialect);
  const open5 = (name, kind, toTable, toKey) => Effect17.gen(function* () {
    const table = toTable(yield* register(access, dialect, name, kind.name));
    yield* access.run(table.prepare, () => void 0, { fail: failing("open", name) });
    return makeKeyspace(name, kind, makeDriver2(access, dialect, table, kind, toKey));
  });
  const reclaim = (before) => Effect17.flatMap(access.atomic(dialect.reclaim, (left4) => left4, callOf("reclaim")), (left4) => left4 === 0 || left4 >= before ? Effect17.void : Effect17.zipRight(nextTurn, reclaim(left4)));
  return yield* makeService({
    access,
    keyspaces: registered(access, dialect),
    reclaim: reclaim(Infinity),
    openBytes: (name) => open5(name, bytesKeys, dialect.bytesTable, bytesKey),
    openText: (name) => open5(name, textKeys, dialect.textTable, textKey),
    sweep: options.sweep
  });
});

// src/internal/storage/transfer.ts
import * as Chunk2 from "effect/Chunk";
import * as Effect18 from "effect/Effect";
import * as Either6 from "effect/Either";
import * as Option4 from "effect/Option";
import * as Stream3 from "effect/Stream";

// src/internal/storage/ndjson.ts
import * as Either5 from "effect/Either";
import * as ParseResult2 from "effect/ParseResult";
import * as Schema2 from "effect/Schema";
var header = { format: "effect-kv", version: 1 };
var lineEnds = /[\u0085\u2028\u2029]/g;
var escape = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
var toLine = (value) => `${JSON.stringify(value).replace(lineEnds, escape)}
`;
var toJson = (value) => typeof value === "string" ? value : { base64: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
var saying = (message) => ({ message: () => ({ message, override: true }) });
var structure = { message: () => "is not a JSON object" };
var base64 = 'bytes as {"base64":"..."}';
var Text = Schema2.String.annotations(saying("is not a text"));
var Bytes = Schema2.pluck(Schema2.Struct({ base64: Schema2.Uint8ArrayFromBase64 }), "base64");
var valueAndExpiry = {
  value: Schema2.Union(Schema2.String, Bytes).annotations(saying(`is neither a text nor ${base64}`)),
  expiresAt: Schema2.optionalWith(
    Schema2.Int.annotations(saying("is not a whole number of milliseconds since the epoch")),
    { exact: true }
  )
};
var toIssue = (issue) => ParseResult2.ArrayFormatter.formatIssueSync(issue).slice(0, 1).map(
  ({ message, path: [at] }) => `${at === void 0 ? "it" : JSON.stringify(String(at).slice(0, 80))} ${message}`
).join();
var decoder = (schema) => {
  const decode2 = ParseResult2.decodeUnknownEither(schema, { onExcessProperty: "error" });
  return (json2) => Either5.mapLeft(decode2(json2), toIssue);
};
var decodeHeader = decoder(
  Schema2.Struct({
    format: Schema2.Literal(header.format).annotations(saying(`is not ${JSON.stringify(header.format)}`)),
    version: Schema2.Literal(header.version).annotations(
      saying(`is not ${header.version}, the only one that is known here; upgrade effect-kv`)
    )
  }).annotations(structure)
);
var decodeKeyspace = decoder(
  Schema2.Struct({
    keyspace: Text,
    keys: Schema2.Literal("text", "bytes").annotations(saying('is neither "text" nor "bytes"'))
  }).annotations(structure)
);
var decodeTextEntry = decoder(
  Schema2.Struct({ key: Text, ...valueAndExpiry }).annotations(structure)
);
var decodeBytesEntry = decoder(
  Schema2.Struct({ key: Bytes.annotations(saying(`is not ${base64}`)), ...valueAndExpiry }).annotations(structure)
);
var decodeEnd = decoder(
  Schema2.Struct({ entries: Schema2.Int.annotations(saying("is not a whole number")) }).annotations(structure)
);
var Lines = class {
  decoder = new TextDecoder("utf-8", { fatal: true });
  rest = "";
  take() {
    const line = this.rest;
    this.rest = "";
    return Either5.right(line);
  }
  append(part, stream) {
    try {
      this.rest += typeof part === "string" ? part : this.decoder.decode(part, { stream });
      return void 0;
    } catch (cause) {
      return `it is not UTF-8, or too long (${cause})`;
    }
  }
  /** The lines that end in the piece. After an issue there is nothing to come. */
  *of(piece) {
    for (let from = 0; from < piece.length; ) {
      const end = typeof piece === "string" ? piece.indexOf("\n", from) : piece.indexOf(10, from);
      const to = end < 0 ? piece.length : end + 1;
      const part = typeof piece === "string" ? piece.slice(from, to) : piece.subarray(from, to);
      const issue = this.append(part, true);
      if (issue !== void 0) return yield Either5.left(issue);
      if (end >= 0) yield this.take();
      from = to;
    }
  }
  /** What is left, if it is a line without an end. */
  *end() {
    const issue = this.append(new Uint8Array(), false);
    if (issue !== void 0) yield Either5.left(issue);
    else if (this.rest !== "") yield this.take();
  }
};

// src/internal/storage/transfer.ts
var exportError = (error) => Effect18.fail(new StorageError({ ...error, method: "exportEntries" }));
var toLines = (keyspace, page) => {
  const lines = [];
  for (const { expiresAt, key, value } of page) {
    try {
      lines.push(toLine({ key: toJson(key), value: toJson(value), expiresAt }));
    } catch (cause) {
      const detail = "the entry is too large for one text; leave its keyspace out, and copy that by itself";
      return exportError({ cause, detail, key, keyspace, reason: "InvalidValue" });
    }
  }
  return Effect18.succeed(Chunk2.unsafeFromArray(lines));
};
var chosen = (storage, names) => Effect18.flatMap(storage.maintenance.keyspaces, (all4) => {
  if (names === void 0) return Effect18.succeed(all4);
  const missing = new Set(names);
  const found = all4.filter(({ name }) => missing.delete(name));
  const [keyspace] = missing;
  return keyspace === void 0 ? Effect18.succeed(found) : exportError({
    detail: "there is no keyspace of this name; maintenance.keyspaces tells which there are",
    keyspace,
    reason: "Unavailable"
  });
});
var exportEntries = (storage, options = {}) => Stream3.unwrap(Effect18.map(chosen(storage, options.keyspaces), (keyspaces) => {
  let entries = 0;
  const entriesOf = (keyspace) => {
    const all4 = keyspace.entries();
    return Stream3.mapChunksEffect(Stream3.catchTag(all4, "InvalidKey", Stream3.die), (page) => {
      entries += page.length;
      return toLines(keyspace.name, page);
    });
  };
  const linesOf = ({ keys, name }) => Stream3.concat(
    Stream3.succeed(toLine({ keyspace: name, keys })),
    Stream3.unwrap(
      keys === "bytes" ? Effect18.map(storage.keyspace(name, { keys }), entriesOf) : Effect18.map(storage.keyspace(name, { keys }), entriesOf)
    )
  );
  return Stream3.succeed(toLine(header)).pipe(
    Stream3.concat(Stream3.flatMap(Stream3.fromIterable(keyspaces), linesOf)),
    Stream3.concat(Stream3.sync(() => toLine({ entries })))
  );
}));
var batchEntries = 1e3;
var batchBytes = 1 << 20;
var inserting = 16;
var makeTarget = (keyspace, kind, decode2, existing, counts) => {
  let batch = [];
  let bytes2 = 0;
  const replace = (entries) => Effect18.map(keyspace.setMany(entries), () => {
    counts.imported += entries.length;
  });
  const insert = ({ expiresAt, key, value }) => Effect18.map(
    keyspace.modify(key, (found) => Option4.isSome(found) ? [false, { _tag: "Keep" }] : [true, { _tag: "Put", expiresAt, value }]),
    (isNew) => {
      counts[isNew ? "imported" : "kept"]++;
    }
  );
  return {
    add: (json2) => {
      const decoded = decode2(json2);
      if (Either6.isLeft(decoded)) return decoded.left;
      const { expiresAt, key, value } = decoded.right;
      const keyIssue = kind.issue(key);
      if (keyIssue !== void 0) return `"key" cannot be a key: ${keyIssue}`;
      const issue = entryIssue(value, expiresAt);
      if (issue !== void 0) return `"value" cannot be a value: ${issue}`;
      const entry = { expiresAt, key, value };
      batch.push(entry);
      bytes2 += entrySize(entry);
      return void 0;
    },
    isFull: () => batch.length >= batchEntries || bytes2 >= batchBytes,
    write: withNow((now) => {
      const live3 = batch.filter(({ expiresAt }) => expiresAt === void 0 || expiresAt > now);
      counts.expired += batch.length - live3.length;
      batch = [];
      bytes2 = 0;
      return Effect18.catchTag(
        existing === "keep" ? Effect18.forEach(live3, insert, { concurrency: inserting, discard: true }) : replace(live3),
        "InvalidKey",
        Effect18.die
      );
    })
  };
};
var has = (json2, member) => typeof json2 === "object" && json2 !== null && Object.hasOwn(json2, member);
var makeImporter = (storage, existing) => {
  const counts = { expired: 0, imported: 0, kept: 0 };
  let stage = "header";
  let line = 0;
  let entries = 0;
  let target;
  const write = Effect18.suspend(() => target === void 0 ? Effect18.void : target.write);
  const refuse2 = (issue, cause) => Effect18.flatMap(write, () => Effect18.fail(new ImportError({ ...counts, cause, issue, line })));
  const enter = ({ keys, name }) => Effect18.matchEffect(
    keys === "bytes" ? Effect18.map(storage.keyspace(name, { keys }), (keyspace) => makeTarget(keyspace, bytesKeys, decodeBytesEntry, existing, counts)) : Effect18.map(storage.keyspace(name, { keys }), (keyspace) => makeTarget(keyspace, textKeys, decodeTextEntry, existing, counts)),
    {
      onFailure: (error) => error.reason === "Incompatible" ? refuse2(`the keyspace is there already: ${error.detail}`, error) : Effect18.fail(error),
      onSuccess: (next5) => Effect18.map(write, () => {
        target = next5;
      })
    }
  );
  const takeJson = (json2) => {
    if (stage === "over") return refuse2("it comes after what is to be the last line");
    if (stage === "header") {
      const decoded = decodeHeader(json2);
      if (Either6.isLeft(decoded)) return refuse2(`the first line is not ${JSON.stringify(header)}: ${decoded.left}`);
      stage = "entries";
      return Effect18.void;
    }
    if (has(json2, "keyspace")) {
      const decoded = decodeKeyspace(json2);
      return Either6.isLeft(decoded) ? refuse2(decoded.left) : enter({ keys: decoded.right.keys, name: decoded.right.keyspace });
    }
    if (has(json2, "entries")) {
      const decoded = decodeEnd(json2);
      if (Either6.isLeft(decoded)) return refuse2(decoded.left);
      const { entries: promised } = decoded.right;
      if (promised !== entries) return refuse2(`it promises ${promised} entries, and there were ${entries}`);
      stage = "over";
      return write;
    }
    if (target === void 0) return refuse2("no line before it names a keyspace");
    const issue = target.add(json2);
    if (issue !== void 0) return refuse2(issue);
    entries++;
    return target.isFull() ? target.write : Effect18.void;
  };
  const take = (read, isLast) => {
    line++;
    if (Either6.isLeft(read)) return refuse2(read.left);
    const text2 = read.right.trim();
    if (text2 === "") return Effect18.void;
    let json2;
    try {
      json2 = JSON.parse(text2);
    } catch (cause) {
      return refuse2(`it is not JSON${isLast ? ", and nothing follows: it may have been cut off" : ""} (${cause})`);
    }
    return takeJson(json2);
  };
  const end = Effect18.suspend(() => {
    if (stage === "over") return Effect18.succeed(counts);
    line++;
    return refuse2('the last line, {"entries":...}, is missing; others may be, too');
  });
  return { end, take };
};
var importEntries = (storage, input, { existing } = {}) => Effect18.suspend(() => {
  const lines = new Lines();
  const importer = makeImporter(storage, existing);
  return Stream3.runForEach(input, (piece) => Effect18.gen(function* () {
    for (const line of lines.of(piece)) yield* importer.take(line, false);
  })).pipe(
    Effect18.zipRight(Effect18.suspend(() => Effect18.forEach(lines.end(), (line) => importer.take(line, true)))),
    Effect18.zipRight(importer.end)
  );
});

// src/Storage.ts
var keep2 = { _tag: "Keep" };
var remove = { _tag: "Remove" };
var put = (value, expiresAt) => ({ _tag: "Put", value, expiresAt });
var Storage = class extends Context6.Tag("effect-kv/Storage")() {
};
var metrics2 = metrics;
var layer = (options) => Layer.scoped(Storage, makeSql(options));
var layerMemory = Layer.scoped(Storage, makeMemory);
var exportEntries2 = (options) => Stream4.unwrap(Effect19.map(Storage, (storage) => exportEntries(storage, options)));
var importEntries2 = (text2, options) => Effect19.flatMap(Storage, (storage) => importEntries(storage, text2, options));

// src/internal/store/codecs.ts
import * as Effect20 from "effect/Effect";
import * as Exit5 from "effect/Exit";
var safely = (operation, at, run2) => {
  const thrown = (cause) => new CodecError({ ...at, cause, detail: `the codec threw ${String(cause)}`, operation });
  try {
    const self = run2();
    return isDone(self) ? self : Effect20.catchAllDefect(self, (cause) => Effect20.fail(thrown(cause)));
  } catch (cause) {
    return Exit5.fail(thrown(cause));
  }
};
var provided = (codec, context5) => {
  const provide4 = providing(context5);
  return make({
    bindsToKey: codec.bindsToKey,
    decode: (stored, at) => safely("decode", at, () => provide4(codec.decode(stored, at))),
    encode: (value, at) => safely("encode", at, () => provide4(codec.encode(value, at))),
    equivalence: codec.equivalence
  });
};

// src/internal/store/tag.ts
import * as Context7 from "effect/Context";
import * as Layer2 from "effect/Layer";
var inMemory = (layer4) => Layer2.provide(layer4, Layer2.fresh(layerMemory));

// src/Memoize.ts
var Memoize_exports = {};
__export(Memoize_exports, {
  Tag: () => Tag4,
  bypass: () => bypass,
  invalidateTag: () => invalidateTag,
  invalidateTags: () => invalidateTags,
  make: () => make8,
  metrics: () => metrics4,
  promise: () => promise,
  request: () => request2
});
import * as Context10 from "effect/Context";
import * as Layer3 from "effect/Layer";

// src/internal/memoize/memo.ts
import * as Effect31 from "effect/Effect";
import * as Exit8 from "effect/Exit";
import * as Option10 from "effect/Option";

// src/internal/store/flights.ts
import * as Context8 from "effect/Context";
import * as Deferred from "effect/Deferred";
import * as Effect21 from "effect/Effect";
import * as Fiber2 from "effect/Fiber";
import * as FiberId from "effect/FiberId";
var Current = Context8.GenericTag("effect-kv/internal/Flight");
var waitsFor = (from, to, seen = /* @__PURE__ */ new Set()) => {
  if (from === to) return true;
  if (seen.has(from)) return false;
  seen.add(from);
  return from.awaited.some((next5) => waitsFor(next5, to, seen));
};
var Flights = class {
  flying = /* @__PURE__ */ new Map();
  /** How many have ended. */
  landed = 0;
  /**
   * Joins the flight of a key, or starts it in a fiber of its own, which ends when nobody waits for it any more. In a
   * transaction everybody flies alone: a flight would wait for the connection that the one who waits for it holds.
   * Whoever would wait for itself has `onCycle` instead.
   */
  join(key, self, onCycle) {
    return Effect21.contextWithEffect((context5) => {
      const from = context5.unsafeMap.get(Current.key);
      const started = { awaited: [], flights: this, key, within: from };
      if (inTransaction(context5)) {
        for (let at = from; at !== void 0; at = at.within) {
          if (at.flights === this && at.key === key) return onCycle;
        }
        return Effect21.provideService(self, Current, started);
      }
      return Effect21.uninterruptibleMask(
        (restore) => Effect21.suspend(() => {
          const known2 = this.flying.get(key);
          if (known2 !== void 0 && from !== void 0 && waitsFor(known2, from)) return restore(onCycle);
          const flight = known2 ?? { ...started, fiber: void 0, outcome: Deferred.unsafeMake(FiberId.none), passengers: 0 };
          this.flying.set(key, flight);
          flight.passengers++;
          from?.awaited.push(flight);
          return Effect21.zipRight(
            known2 === void 0 ? this.start(key, flight, self) : Effect21.void,
            Effect21.ensuring(
              // Whoever joins must expect the failures of another one's effect.
              restore(Deferred.await(flight.outcome)),
              this.leave(key, flight, from)
            )
          );
        })
      );
    });
  }
  /** The flight of a key, which is another one each time. */
  flightOf(key) {
    return this.flying.get(key);
  }
  /** Those who come from now on start anew; those who wait have the outcome. Of one key, or of all. */
  supersede(key) {
    if (key === void 0) this.flying.clear();
    else this.flying.delete(key);
  }
  start(key, flight, self) {
    const landing = Effect21.onExit(Effect21.interruptible(Effect21.provideService(self, Current, flight)), (exit6) => {
      this.landed++;
      this.forget(key, flight);
      return Deferred.done(flight.outcome, exit6);
    });
    return Effect21.map(Effect21.forkDaemon(landing), (fiber) => {
      flight.fiber = fiber;
    });
  }
  leave(key, flight, from) {
    return Effect21.suspend(() => {
      from?.awaited.splice(from.awaited.indexOf(flight), 1);
      if (--flight.passengers > 0 || flight.fiber === void 0) return Effect21.void;
      this.forget(key, flight);
      return Effect21.asVoid(Fiber2.interrupt(flight.fiber));
    });
  }
  forget(key, flight) {
    if (this.flying.get(key) === flight) this.flying.delete(key);
  }
};

// src/internal/memoize/core.ts
import * as Cause2 from "effect/Cause";
import * as Duration8 from "effect/Duration";
import * as Effect28 from "effect/Effect";
import * as Either8 from "effect/Either";
import * as Exit6 from "effect/Exit";
import * as Option7 from "effect/Option";
import * as ParseResult3 from "effect/ParseResult";
import * as Schema3 from "effect/Schema";

// src/internal/memoize/bounds.ts
import * as Chunk3 from "effect/Chunk";
import * as Duration7 from "effect/Duration";
import * as Effect23 from "effect/Effect";
import * as Option5 from "effect/Option";
import * as Schedule2 from "effect/Schedule";
import * as Stream5 from "effect/Stream";

// src/internal/memoize/soundly.ts
import * as Effect22 from "effect/Effect";
var soundly = (self) => Effect22.catchTag(self, "InvalidKey", Effect22.die);

// src/internal/memoize/bounds.ts
var leastTrust = 1e3;
var trustFactor = 100;
var mostUses = 1e4;
var usesEvery = Duration7.seconds(1);
var slice2 = 256;
var ticks = 0;
var timeOf = (now) => {
  ticks = (ticks + 1) % 1e6;
  return `${String(Math.max(0, Math.floor(now))).padStart(15, "0")}${String(ticks).padStart(6, "0")}`;
};
var timeLength = 21;
var byKey = (key) => `k${key}`;
var byTime = (time2, key) => `t${time2}${key}`;
var sizeOf = (key, value) => Buffer.byteLength(key) + Buffer.byteLength(value);
var parse = (entry) => {
  if (entry === void 0 || Option5.isNone(entry)) return void 0;
  const [time2 = "", bytes2 = ""] = String(entry.value.value).split(" ");
  return { bytes: Number(bytes2), time: time2 };
};
var open = (storage, keyspace, { countsUse, maxBytes, maxEntries }) => Effect23.gen(function* () {
  const order = yield* storage.keyspace(`memo:order ${keyspace.name}`);
  const turn2 = yield* Effect23.makeSemaphore(1);
  const uses = /* @__PURE__ */ new Map();
  let entries = 0;
  let bytes2 = 0;
  let countedAt = -Infinity;
  let trust = 0;
  const count = (now) => Effect23.suspend(() => {
    const start = realMillis();
    return Effect23.flatMap(soundly(keyspace.stat()), (stat) => {
      entries = stat.entries;
      bytes2 = stat.bytes;
      countedAt = now;
      trust = Math.max(leastTrust, trustFactor * (realMillis() - start));
      return isTooMuch() ? adoptMissing : Effect23.void;
    });
  });
  const isTooMuch = () => entries > maxEntries || bytes2 > maxBytes;
  const rowsOf = (keys) => soundly(order.getMany(keys.map(byKey)));
  const place = (placed) => Effect23.flatMap(rowsOf(placed.map(({ key }) => key)), (before) => soundly(Effect23.zipRight(
    order.setMany(placed.flatMap(({ bytes: bytes3, expiresAt, key, time: time2 }) => [
      { expiresAt, key: byKey(key), value: `${time2} ${bytes3}` },
      { expiresAt, key: byTime(time2, key), value: "" }
    ])),
    order.removeMany(placed.flatMap(({ key }, i) => {
      const row = parse(before[i]);
      return row === void 0 ? [] : [byTime(row.time, key)];
    }))
  )));
  const writeUses = Effect23.suspend(() => {
    const batch = [...uses];
    uses.clear();
    return batch.length === 0 ? Effect23.void : Effect23.flatMap(rowsOf(batch.map(([key]) => key)), (rows) => place(batch.flatMap(([key, now], i) => {
      const row = parse(rows[i]);
      const expiresAt = Option5.getOrUndefined(rows[i] ?? Option5.none())?.expiresAt;
      return row === void 0 ? [] : [{ bytes: row.bytes, expiresAt, key, time: timeOf(now) }];
    })));
  });
  const adopt = keyspace.entries().pipe(
    Stream5.map((entry) => ({
      bytes: sizeOf(entry.key, entry.value),
      expiresAt: entry.expiresAt,
      key: entry.key,
      time: timeOf(0)
    })),
    Stream5.grouped(slice2),
    Stream5.runForEach((chunk) => {
      const found = Chunk3.toReadonlyArray(chunk);
      return Effect23.flatMap(
        rowsOf(found.map(({ key }) => key)),
        (rows) => place(found.filter((_, i) => parse(rows[i]) === void 0))
      );
    })
  );
  const adoptMissing = Effect23.flatMap(
    soundly(order.stat({ prefix: "k" })),
    (placed) => placed.entries < entries ? soundly(adopt) : Effect23.void
  );
  const makeRoom = Effect23.suspend(() => {
    if (!isTooMuch()) return Effect23.succeed(0);
    const most = bytes2 > maxBytes ? 1 : Math.min(slice2, entries - maxEntries);
    return Effect23.flatMap(soundly(order.take({ prefix: "t" }, most)), (first) => {
      if (first.length === 0) return Effect23.succeed(0);
      const due = first.map(({ key }) => ({ key: key.slice(1 + timeLength), time: key.slice(1, 1 + timeLength) }));
      return Effect23.flatMap(rowsOf(due.map(({ key }) => key)), (rows) => {
        const gone = due.flatMap(({ key, time: time2 }, i) => {
          const row = parse(rows[i]);
          return row?.time === time2 ? [{ bytes: row.bytes, key }] : [];
        });
        const keys = gone.map(({ key }) => key);
        return soundly(keyspace.removeMany(keys)).pipe(
          Effect23.zipLeft(soundly(order.removeMany(keys.map(byKey)))),
          Effect23.flatMap((removed) => {
            entries -= gone.length;
            for (const row of gone) bytes2 -= row.bytes;
            return Effect23.map(makeRoom, (more) => removed + more);
          })
        );
      });
    });
  });
  if (countsUse) {
    yield* Effect23.addFinalizer(() => Effect23.ignore(writeUses));
    yield* Effect23.forkScoped(outsideTransactions(sleepingIdly(
      Effect23.repeat(Effect23.ignore(Effect23.delay(turn2.withPermits(1)(writeUses), usesEvery)), Schedule2.forever)
    )));
  }
  return {
    admits: (size2) => size2 <= maxBytes,
    cleared: Effect23.suspend(() => {
      entries = 0;
      bytes2 = 0;
      uses.clear();
      return Effect23.asVoid(soundly(order.clear()));
    }),
    counted: (size2, replaced) => {
      entries += replaced === void 0 ? 1 : 0;
      bytes2 += size2 - (replaced ?? 0);
    },
    settled: (stored) => withNow(
      (now) => turn2.withPermits(1)(Effect23.suspend(() => {
        const isCountDue = now - countedAt >= trust || now < countedAt;
        return (isTooMuch() ? writeUses : Effect23.void).pipe(
          Effect23.zipRight(
            Effect23.suspend(() => place(stored.map((row) => ({ ...row, time: timeOf(now) }))))
          ),
          Effect23.zipRight(isCountDue ? count(now) : Effect23.void),
          Effect23.zipRight(makeRoom)
        );
      }))
    ),
    used: (key, now) => {
      if (!countsUse || uses.size >= mostUses && !uses.has(key)) return;
      uses.delete(key);
      uses.set(key, now);
    }
  };
});

// src/internal/memoize/entry.ts
var tombstone = (mark, now) => ({
  body: "",
  freshUntil: 0,
  kind: "none",
  lookupMillis: 0,
  mark,
  retryAt: 0,
  storedAt: now,
  tags: [],
  version: 0
});
var letters = { failure: "f", none: "n", success: "s" };
var kinds = { f: "failure", n: "none", s: "success" };
var print2 = ({ body, freshUntil, kind, lookupMillis, mark, retryAt, storedAt, tags: tags2, version }) => {
  const header2 = [letters[kind], storedAt, freshUntil === Infinity ? null : freshUntil, lookupMillis];
  const more = retryAt > 0 || mark !== "" || tags2.length > 0 ? [retryAt, mark, version, ...tags2] : [];
  const line = `${JSON.stringify([...header2, ...more])}
`;
  return typeof body === "string" ? line + body : Buffer.concat([Buffer.from(line), body]);
};
var isHeader = (line) => {
  if (!Array.isArray(line)) return false;
  const [kind, storedAt, freshUntil, lookupMillis, retryAt = 0, mark = "", version = 0, ...tags2] = line;
  return (kind === "s" || kind === "f" || kind === "n") && typeof storedAt === "number" && (freshUntil === null || typeof freshUntil === "number") && typeof lookupMillis === "number" && typeof retryAt === "number" && typeof mark === "string" && typeof version === "number" && tags2.every((tag) => typeof tag === "string");
};
var newline = 10;
var parseHeader = (line) => {
  try {
    return JSON.parse(line);
  } catch {
    return void 0;
  }
};
var parse2 = (stored) => {
  const end = typeof stored === "string" ? stored.indexOf("\n") : stored.indexOf(newline);
  if (end < 0) return void 0;
  const header2 = parseHeader(
    typeof stored === "string" ? stored.slice(0, end) : Buffer.from(stored.subarray(0, end)).toString()
  );
  if (!isHeader(header2)) return void 0;
  const [kind, storedAt, freshUntil, lookupMillis, retryAt = 0, mark = "", version = 0, ...tags2] = header2;
  return {
    body: typeof stored === "string" ? stored.slice(end + 1) : stored.subarray(end + 1),
    freshUntil: freshUntil ?? Infinity,
    kind: kinds[kind],
    lookupMillis,
    mark,
    retryAt,
    storedAt,
    tags: tags2,
    version
  };
};

// src/internal/memoize/inMemory.ts
import * as Effect25 from "effect/Effect";

// src/internal/memoize/situation.ts
import * as Context9 from "effect/Context";
import * as Effect24 from "effect/Effect";
var Bypass = Context9.GenericTag("effect-kv/internal/Bypass");
var known = /* @__PURE__ */ new WeakMap();
var situationOf = (context5) => {
  const map28 = context5.unsafeMap;
  let situation = known.get(map28);
  if (situation === void 0) {
    situation = map28.has(Bypass.key) ? "bypassed" : inTransaction(context5) ? "transaction" : "plain";
    known.set(map28, situation);
  }
  return situation;
};
var bypassing = (self) => Effect24.provideService(self, Bypass, true);

// src/internal/memoize/inMemory.ts
var InMemory = class {
  constructor(capacity, maxAge) {
    this.capacity = capacity;
    this.maxAge = maxAge;
  }
  capacity;
  maxAge;
  held = /* @__PURE__ */ new Map();
  /** Until when what a transaction has changed is not held: others read what was before, as long as it is open. */
  quiet = /* @__PURE__ */ new Map();
  allQuiet = 0;
  /** Changes with what is forgotten: what was read before must not be held. */
  generation = 0;
  get(key, now) {
    const held2 = this.held.get(key);
    if (held2 === void 0) return void 0;
    this.held.delete(key);
    if (now >= held2.until || now >= held2.kept.freshUntil) return void 0;
    this.held.set(key, held2);
    return held2.kept;
  }
  /** Holds what was read, or written, since that generation. */
  set(key, kept, now, generation) {
    if (generation !== this.generation || now < this.allQuiet || now < (this.quiet.get(key) ?? 0)) return;
    const before = this.held.get(key);
    if (before !== void 0 && before.kept.storedAt > kept.storedAt) return;
    this.held.delete(key);
    this.held.set(key, { kept, until: now + this.maxAge });
    if (this.held.size <= this.capacity) return;
    for (const oldest of this.held.keys()) {
      this.held.delete(oldest);
      return;
    }
  }
  /** Of one key, or of all. */
  forget(key, now, isInTransaction) {
    this.generation++;
    if (key === void 0) this.held.clear();
    else this.held.delete(key);
    if (!isInTransaction) return;
    if (key === void 0) this.allQuiet = now + this.maxAge;
    else {
      for (const [other, until] of this.quiet) if (until <= now) this.quiet.delete(other);
      this.quiet.set(key, now + this.maxAge);
    }
  }
  forgetTagged(now, isInTransaction) {
    this.generation++;
    for (const [key, { kept }] of this.held) if (kept.tagged) this.held.delete(key);
    if (isInTransaction) this.allQuiet = now + this.maxAge;
  }
};
var registries = /* @__PURE__ */ new WeakMap();
var registryOf = (storage) => {
  let registry = registries.get(storage);
  if (registry === void 0) registries.set(storage, registry = /* @__PURE__ */ new Map());
  return registry;
};
var register2 = (storage, keyspace, memory2) => {
  const registry = registryOf(storage);
  const namesakes = registry.get(keyspace) ?? /* @__PURE__ */ new Set();
  return Effect25.acquireRelease(
    Effect25.sync(() => {
      registry.set(keyspace, namesakes.add(memory2));
    }),
    () => Effect25.sync(() => void namesakes.delete(memory2))
  );
};
var withPlace = (use) => Effect25.withFiberRuntime((fiber) => {
  use(clockOf(fiber).unsafeCurrentTimeMillis(), situationOf(fiber.currentContext) === "transaction");
  return Effect25.void;
});
var forgetting = (storage, keyspace, key) => withPlace((now, isInTransaction) => {
  for (const memory2 of registryOf(storage).get(keyspace) ?? []) memory2.forget(key, now, isInTransaction);
});
var forgettingTagged = (storage) => withPlace((now, isInTransaction) => {
  for (const memories of registryOf(storage).values()) {
    for (const memory2 of memories) memory2.forgetTagged(now, isInTransaction);
  }
});

// src/internal/memoize/key.ts
import { hash } from "node:crypto";
var print3 = (value) => printAt2(value, "");
var printAt2 = (value, path2) => {
  switch (typeof value) {
    // Lone surrogates are escaped, so that what has no UTF-8 form has a key of its own, too.
    case "string":
      return JSON.stringify(value);
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "bigint":
      return `${value}n`;
    case "boolean":
    case "undefined":
      return String(value);
    case "object":
      return value === null ? "null" : printObject2(value, path2);
    default:
      return refuseAt(`a ${typeof value}`, "a key", path2);
  }
};
var printObject2 = (value, path2) => {
  if (Array.isArray(value)) return `[${Array.from(value, (item, i) => printAt2(item, `${path2}[${i}]`)).join()}]`;
  if (value instanceof Date) return `Date(${value.getTime()})`;
  if (value instanceof Uint8Array) return `Bytes(${Buffer.from(value).toString("base64")})`;
  if (value instanceof Set) return `Set(${Array.from(value, (item) => printAt2(item, path2)).sort().join()})`;
  if (value instanceof Map) {
    return `Map(${Array.from(value, ([key, item]) => `${printAt2(key, path2)}:${printAt2(item, path2)}`).sort().join()})`;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return refuseAt(nameOf(value), "a key", path2);
  return `{${Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([name, item]) => `${JSON.stringify(name)}:${printAt2(item, `${path2}.${name}`)}`).join()}}`;
};
var digest2 = (text2) => hash("sha256", text2);

// src/internal/memoize/metrics.ts
var counters2 = {
  bypasses: ["effect_kv_memo_bypasses", "Calls that went round what is stored"],
  collapsed: ["effect_kv_memo_collapsed", "Calls that waited for the answer of another one"],
  errors: ["effect_kv_memo_errors", "Troubles with the storage that calls were not told"],
  evictions: ["effect_kv_memo_evictions", "Answers that were removed because there were too many"],
  hits: ["effect_kv_memo_hits", "Calls that were answered by a fresh stored answer"],
  misses: ["effect_kv_memo_misses", "Calls that computed"],
  refreshes: ["effect_kv_memo_refreshes", "Answers that were computed by hand, or in the background"],
  staleHits: ["effect_kv_memo_stale_hits", "Calls that were answered by a stale stored answer"]
};
var metrics3 = {
  bypasses: counter2(counters2.bypasses),
  collapsed: counter2(counters2.collapsed),
  errors: counter2(counters2.errors),
  evictions: counter2(counters2.evictions),
  hits: counter2(counters2.hits),
  lookupTime: millis2("effect_kv_memo_lookup_millis", "How long memoised functions took"),
  misses: counter2(counters2.misses),
  refreshes: counter2(counters2.refreshes),
  staleHits: counter2(counters2.staleHits)
};
var countsOf = (name) => {
  const count = (counter3) => counterOf(counters2[counter3], "memo", name);
  return {
    bypasses: count("bypasses"),
    collapsed: count("collapsed"),
    errors: count("errors"),
    evictions: count("evictions"),
    hits: count("hits"),
    lookupTime: (millis7) => record(metrics3.lookupTime, "memo", name, millis7),
    misses: count("misses"),
    refreshes: count("refreshes"),
    staleHits: count("staleHits")
  };
};

// src/internal/memoize/settings.ts
import * as Either7 from "effect/Either";
var oneOf = (name, value, all4) => value === void 0 || all4.includes(value) ? Either7.right(value ?? all4[0]) : Either7.left(`${name} is ${all4.map(shown2).join(" or ")}, not ${shown2(value)}`);
var time = (name, value, least = 0) => Either7.mapLeft(
  Either7.filterOrLeft(
    parseDuration(value),
    (millis7) => millis7 >= least,
    () => `${shown2(value)} is too short; give at least ${least} milliseconds`
  ),
  (issue) => `${name}: ${issue}`
);
var orTime = (name, value, otherwise, least) => value === void 0 ? Either7.right(otherwise) : time(name, value, least);
var positive = (name, value) => typeof value === "number" && value > 0 ? Either7.right(value) : Either7.left(`${name} is above zero, not ${shown2(value)}`);
var orPositive = (name, value, otherwise) => value === void 0 ? Either7.right(otherwise) : positive(name, value);
var parseSettings = (options) => Either7.gen(function* () {
  const { earlyRefresh, inMemory: inMemory2, timeToLive } = options;
  if (typeof timeToLive !== "function") yield* time("timeToLive", timeToLive, -Infinity);
  const eviction = yield* oneOf("eviction", options.eviction, ["least-recently-stored", "least-recently-used"]);
  yield* oneOf("onDecodeFailure", options.onDecodeFailure, ["recompute", "fail"]);
  yield* oneOf("onStorageFailure", options.onStorageFailure, ["call", "fail"]);
  const maxBytes = yield* orPositive("maxBytes", options.maxBytes, Infinity);
  const maxEntries = yield* orPositive("maxEntries", options.maxEntries, Infinity);
  return {
    backOff: yield* orTime("backOff", options.backOff, 1e4),
    beta: earlyRefresh === void 0 || earlyRefresh === false ? 0 : yield* orPositive("earlyRefresh.beta", earlyRefresh === true ? void 0 : earlyRefresh.beta, 1),
    bounds: maxBytes === Infinity && maxEntries === Infinity ? void 0 : { countsUse: eviction === "least-recently-used", maxBytes, maxEntries },
    hardTimeout: yield* orTime("hardTimeout", options.hardTimeout, void 0),
    inMemory: inMemory2 && {
      capacity: yield* positive("inMemory.capacity", inMemory2.capacity),
      maxAge: yield* orTime("inMemory.maxAge", inMemory2.maxAge, 1e3)
    },
    lease: yield* orTime("lease", options.lease, void 0, 1),
    softTimeout: yield* orTime("softTimeout", options.softTimeout, void 0),
    staleIfError: yield* orTime("staleIfError", options.staleIfError, 0),
    staleWhileRevalidate: yield* orTime("staleWhileRevalidate", options.staleWhileRevalidate, 0)
  };
});

// src/internal/memoize/tags.ts
import * as Effect26 from "effect/Effect";
import * as Option6 from "effect/Option";

// src/internal/adapters/keys.ts
import { createHash as createHash3 } from "node:crypto";
var longest = 1e3;
var keyOf2 = (text2) => {
  const json2 = JSON.stringify(text2);
  return Buffer.byteLength(json2) <= longest ? json2 : JSON.stringify({ sha256: createHash3("sha256").update(json2).digest("hex") });
};

// src/internal/memoize/tags.ts
var keyspaceName = "memo:tags";
var sequence = "sequence";
var parse3 = (entry) => {
  if (entry === void 0 || Option6.isNone(entry)) return { hard: 0, soft: 0 };
  const [hard = 0, soft = 0] = String(entry.value.value).split(" ").map(Number);
  return { hard, soft };
};
var tagKey = (tag) => `tag ${keyOf2(tag)}`;
var open2 = (storage) => Effect26.map(storage.keyspace(keyspaceName), (keyspace) => ({
  check: (answers) => {
    const tags2 = [...new Set(answers.flatMap(({ tags: tags3 }) => tags3))];
    if (tags2.length === 0) return Effect26.succeed(answers.map(() => "valid"));
    return Effect26.map(soundly(keyspace.getMany(tags2.map(tagKey))), (entries) => {
      const found = new Map(tags2.map((tag, i) => [tag, parse3(entries[i])]));
      return answers.map(({ tags: tags3, version }) => {
        const latest = (kind) => Math.max(...tags3.map((tag) => found.get(tag)?.[kind] ?? 0));
        return tags3.length === 0 ? "valid" : latest("hard") > version ? "hard" : latest("soft") > version ? "soft" : "valid";
      });
    });
  },
  version: Effect26.map(soundly(keyspace.get(sequence)), (entry) => parse3(entry).hard)
}));
var invalidate = (tags2, options) => {
  const kind = options?.soft === true ? "soft" : "hard";
  const keys = [...new Set(tags2)].map(tagKey);
  return Effect26.flatMap(
    Storage,
    (storage) => keys.length === 0 ? Effect26.void : Effect26.flatMap(storage.keyspace(keyspaceName), (keyspace) => withNow(
      (now) => storage.transaction(
        Effect26.flatMap(
          // Not below the clock: if the sequence is lost, what is invalid stays so.
          soundly(keyspace.modify(sequence, (entry) => {
            const next5 = Math.max(parse3(entry).hard + 1, now);
            return [next5, put(String(next5))];
          })),
          (version) => Effect26.flatMap(soundly(keyspace.getMany(keys)), (entries) => soundly(keyspace.setMany(keys.map((key, i) => {
            const { hard, soft } = { ...parse3(entries[i]), [kind]: version };
            return { expiresAt: void 0, key, value: `${hard} ${soft}` };
          }))))
        ),
        { retry: true }
      )
    )).pipe(Effect26.ensuring(forgettingTagged(storage)))
  );
};

// src/internal/memoize/word.ts
import * as Effect27 from "effect/Effect";
import * as Random2 from "effect/Random";
var word = Effect27.map(
  Effect27.all([Random2.next, Random2.next]),
  ([a, b]) => `${a.toString(36).slice(2)}${b.toString(36).slice(2)}`
);

// src/internal/memoize/core.ts
var nothing = { entry: void 0, isSoft: false, mark: "" };
var remembered = 3e5;
var succeedNone = Exit6.succeed(Option7.none());
var makeCore = (options, failing2) => Effect28.gen(function* () {
  const { name, tags: tags2, timeToLive } = options;
  const keyspaceName3 = options.keyspace ?? `memo/${name}`;
  const invalid = (detail, cause) => new StorageError({ cause, detail, keyspace: keyspaceName3, method: "memoize", reason: "InvalidValue" });
  const settings = yield* Either8.match(parseSettings(options), {
    onLeft: (issue) => Effect28.fail(invalid(issue)),
    onRight: Effect28.succeed
  });
  const storage = yield* Storage;
  const keyspace = yield* storage.keyspace(keyspaceName3);
  const versions = yield* open2(storage);
  const bounds = settings.bounds && (yield* open(storage, keyspace, settings.bounds));
  const memory2 = settings.inMemory && new InMemory(settings.inMemory.capacity, settings.inMemory.maxAge);
  if (memory2 !== void 0) yield* register2(storage, keyspaceName3, memory2);
  const provide4 = providing(yield* lastingContext());
  const context5 = yield* lastingContext();
  const count = countsOf(name);
  const isEnabled = options.enabled && Effect28.catchAllCause(provide4(options.enabled), () => Effect28.succeed(false));
  const codecOf = options.codec ?? json;
  const successes = provided(codecOf(options.success), context5);
  const failures = options.failure && provided(codecOf(options.failure), context5);
  const fits = options.failure === void 0 ? () => false : Schema3.is(options.failure);
  const isStorable = (error) => fits(error);
  const encodeArgs = ParseResult3.encode(options.args);
  const identity4 = `${print3([name, options.version ?? 1])} `;
  const badArgs = (detail, cause) => new CodecError({ cause, detail, key: "(arguments)", keyspace: keyspaceName3, operation: "encode" });
  const printed = (prefix2, value) => {
    try {
      return Exit6.succeed(prefix2 + print3(value));
    } catch (cause) {
      return Exit6.fail(badArgs(cause instanceof Error ? cause.message : String(cause), cause));
    }
  };
  const textOf = (args) => {
    try {
      return options.key !== void 0 ? printed("key ", options.key(...args)) : provide4(
        fromParser(
          encodeArgs(args),
          (issue) => badArgs(ParseResult3.TreeFormatter.formatIssueSync(issue)),
          (encoded) => printed("", encoded)
        )
      );
    } catch (cause) {
      return Exit6.fail(badArgs(`the key, or the schema of the arguments, threw ${String(cause)}`, cause));
    }
  };
  const callOf2 = (args, text2, situation, isTraced2 = false) => ({
    args,
    isTraced: isTraced2,
    key: digest2(identity4 + text2),
    situation,
    text: text2
  });
  const keyed = (args, use) => Effect28.withFiberRuntime(
    (fiber) => andThen(textOf(args), (text2) => use(callOf2(args, text2, situationOf(fiber.currentContext))))
  );
  let isTroubled = false;
  const tolerate = (error, otherwise) => {
    if (failing2.onTrouble !== void 0) return failing2.onTrouble(error);
    count.errors(1);
    if (isTroubled) return otherwise;
    isTroubled = true;
    return Effect28.zipRight(
      Effect28.logWarning(`effect-kv: the function ${name} is not memoised as long as this lasts`, error),
      otherwise
    );
  };
  const recovered = () => {
    isTroubled = false;
  };
  const misfit = (call) => new CodecError({
    detail: "it is not a stored answer",
    key: call.key,
    keyspace: keyspaceName3,
    operation: "decode"
  });
  const knownOf = (found) => {
    const entries = found.map((stored) => Option7.isSome(stored) ? parse2(stored.value.value) : void 0);
    const known2 = (entry, validity) => entry === void 0 ? nothing : {
      entry: entry.kind === "none" || validity === "hard" ? void 0 : entry,
      isSoft: validity === "soft",
      mark: entry.mark
    };
    return entries.every((entry) => entry === void 0 || entry.tags.length === 0) ? Exit6.succeed(entries.map((entry) => known2(entry, "valid"))) : Effect28.map(
      versions.check(entries.map((entry) => entry ?? tombstone("", 0))),
      (validities) => entries.map((entry, i) => known2(entry, validities[i] ?? "valid"))
    );
  };
  const read = (call) => Effect28.flatMap(
    soundly(keyspace.get(call.key)),
    (found) => andThen(knownOf([found]), ([known2 = nothing]) => Exit6.succeed(known2))
  );
  const readMany = (calls) => Effect28.flatMap(soundly(keyspace.getMany(calls.map((call) => call.key))), knownOf);
  const isFallback = ({ entry, isSoft }, now) => entry !== void 0 && (isSoft || entry.mark !== "" || now < entry.freshUntil + settings.staleIfError);
  const judge = (known2, now) => {
    const { entry, isSoft } = known2;
    if (entry === void 0) return "none";
    if (!isSoft && entry.mark === "" && now < entry.freshUntil) return "fresh";
    const isResting = now < entry.retryAt;
    return settings.staleWhileRevalidate > 0 && (isSoft || now < entry.freshUntil + settings.staleWhileRevalidate) ? isResting ? "resting" : "revalidate" : isFallback(known2, now) ? isResting ? "resting" : "fallback" : "none";
  };
  const decode2 = (call, entry) => {
    const at = { key: call.key, keyspace: keyspaceName3 };
    if (entry.kind === "success") {
      return andThen(successes.decode(entry.body, at), (value) => Exit6.succeed(Exit6.succeed(value)));
    }
    return failures === void 0 ? Exit6.fail(misfit(call)) : andThen(failures.decode(entry.body, at), (error) => Exit6.succeed(Exit6.fail(error)));
  };
  const hold2 = (call, entry, exit6, now, generation) => {
    if (memory2 === void 0 || call.situation === "transaction") return;
    const { freshUntil, lookupMillis, storedAt, tags: tags3 } = entry;
    memory2.set(
      call.text,
      { exit: exit6, freshUntil, lookupMillis, storedAs: call.key, storedAt, tagged: tags3.length > 0 },
      now,
      generation
    );
  };
  const lifeOf = (exit6, args) => parseDuration(typeof timeToLive === "function" ? timeToLive(exit6, args) : timeToLive);
  const retention = Math.max(settings.staleWhileRevalidate, settings.staleIfError);
  const prepare2 = ({ call, exit: exit6, isCurrent, known: known2, version }, lookupMillis) => withNow((now) => {
    let life;
    let names;
    try {
      life = lifeOf(exit6, call.args);
      names = tags2 === void 0 || Exit6.isFailure(exit6) ? [] : [...new Set(tags2(call.args, exit6.value))];
    } catch (cause) {
      return Effect28.fail(invalid(`timeToLive, or tags, threw ${String(cause)}`, cause));
    }
    if (Either8.isLeft(life)) return Effect28.fail(invalid(`timeToLive: ${life.left}`));
    if (life.right <= 0 || !isCurrent()) return succeedNone;
    const freshUntil = now + life.right;
    const expiresAt = freshUntil + retention;
    const at = { key: call.key, keyspace: keyspaceName3 };
    const body = Exit6.isSuccess(exit6) ? successes.encode(exit6.value, at) : Option7.match(Option7.all([Cause2.failureOption(exit6.cause), Option7.fromNullable(failures)]), {
      onNone: () => Exit6.fail(misfit(call)),
      onSome: ([error, codec]) => codec.encode(error, at)
    });
    return andThen(body, (body2) => {
      const entry = {
        body: body2,
        freshUntil,
        kind: Exit6.isSuccess(exit6) ? "success" : "failure",
        lookupMillis,
        mark: "",
        retryAt: 0,
        storedAt: now,
        tags: names,
        version
      };
      const value = print2(entry);
      const size2 = sizeOf(call.key, value);
      return bounds?.admits(size2) === false ? succeedNone : Exit6.succeed(Option7.some({
        call,
        entry,
        exit: exit6,
        expiresAt: expiresAt === Infinity ? void 0 : expiresAt,
        isCurrent,
        seen: known2.mark,
        size: size2,
        value
      }));
    });
  });
  const isValid = ({ isCurrent, seen }, stored) => {
    const mark = Option7.isNone(stored) ? "" : parse2(stored.value.value)?.mark ?? "";
    return isCurrent() && (mark === "" || mark === seen);
  };
  const sizeOf2 = (stored) => Option7.isNone(stored) ? void 0 : sizeOf(stored.value.key, stored.value.value);
  const write = (all4) => {
    const [first, ...more] = all4;
    if (first === void 0) return Effect28.succeed([]);
    if (more.length === 0) {
      return Effect28.map(
        soundly(keyspace.modify(first.call.key, (stored) => isValid(first, stored) ? [{ replaced: sizeOf2(stored) }, put(first.value, first.expiresAt)] : [void 0, keep2])),
        (done2) => {
          if (done2 === void 0) return [];
          bounds?.counted(first.size, done2.replaced);
          return all4;
        }
      );
    }
    return storage.transaction(
      Effect28.flatMap(soundly(keyspace.getMany(all4.map(({ call }) => call.key))), (stored) => {
        const kept = all4.flatMap((one, i) => {
          const before = stored[i] ?? Option7.none();
          return isValid(one, before) ? [{ one, replaced: sizeOf2(before) }] : [];
        });
        return Effect28.as(
          soundly(keyspace.setMany(
            kept.map(({ one: { call, expiresAt, value } }) => ({ expiresAt, key: call.key, value }))
          )),
          kept
        );
      }),
      { retry: true }
    ).pipe(Effect28.map(
      (kept) => kept.map(({ one, replaced }) => {
        bounds?.counted(one.size, replaced);
        return one;
      })
    ));
  };
  const store = (answers, lookupMillis) => Effect28.flatMap(
    Effect28.forEach(answers, (answer) => prepare2(answer, lookupMillis)),
    (prepared2) => {
      const all4 = prepared2.flatMap(Option7.toArray);
      if (all4.length === 0) return Effect28.void;
      const generation = memory2?.generation ?? 0;
      return Effect28.flatMap(write(all4), (written) => {
        recovered();
        return withNow((now) => {
          for (const { call, entry, exit: exit6 } of written) hold2(call, entry, exit6, now, generation);
          return bounds === void 0 || written.length === 0 || written[0]?.call.situation === "transaction" ? Effect28.void : Effect28.map(
            bounds.settled(
              written.map(({ call, expiresAt, size: size2 }) => ({ bytes: size2, expiresAt, key: call.key }))
            ),
            count.evictions
          );
        });
      });
    }
  );
  const rest = (call, entry) => withNow(
    (now) => soundly(keyspace.modify(call.key, (stored) => {
      const current = Option7.isNone(stored) ? void 0 : parse2(stored.value.value);
      return Option7.isSome(stored) && current?.storedAt === entry.storedAt && current.mark === entry.mark ? [
        void 0,
        put(print2({ ...current, retryAt: now + settings.backOff }), stored.value.expiresAt)
      ] : [void 0, keep2];
    }))
  );
  const invalidating = (args, supersede, change) => keyed(args, (call) => Effect28.flatMap(word, (mark) => withNow((now) => {
    supersede(call.key);
    return Effect28.zipRight(
      forgetting(storage, keyspaceName3, call.text),
      soundly(keyspace.modify(call.key, (stored) => {
        const entry = Option7.isNone(stored) ? void 0 : parse2(stored.value.value);
        const found = entry?.kind === "none" ? void 0 : entry;
        const expiresAt = Option7.isNone(stored) ? void 0 : stored.value.expiresAt;
        return [found !== void 0, change(found, expiresAt, mark, now)];
      }))
    ).pipe(Effect28.ensuring(forgetting(storage, keyspaceName3, call.text)));
  })));
  const bury = (mark, now) => put(print2(tombstone(mark, now)), now + remembered);
  const controls = (supersede) => ({
    invalidate: (...args) => invalidating(args, supersede, (_found, _expiresAt, mark, now) => bury(mark, now)),
    invalidateAll: Effect28.suspend(() => {
      supersede(void 0);
      return soundly(keyspace.clear()).pipe(
        Effect28.zipLeft(bounds?.cleared ?? Effect28.void),
        Effect28.ensuring(forgetting(storage, keyspaceName3, void 0))
      );
    }),
    keyOf: (...args) => keyed(args, (call) => Effect28.succeed(call.key)),
    peek: (...args) => keyed(args, (call) => Effect28.flatMap(read(call), (known2) => withNow((now) => {
      const { entry } = known2;
      const judgement = judge(known2, now);
      if (entry === void 0 || judgement === "none") return succeedNone;
      return Effect28.map(decode2(call, entry), (exit6) => Option7.some({
        age: Duration8.millis(Math.max(0, now - entry.storedAt)),
        exit: exit6,
        state: judgement === "fresh" ? "fresh" : "stale",
        timeToLive: judgement === "fresh" ? Duration8.millis(entry.freshUntil - now) : Duration8.zero
      }));
    }))),
    softInvalidate: (...args) => invalidating(args, supersede, (found, expiresAt, mark, now) => found === void 0 ? bury(mark, now) : put(print2({ ...found, freshUntil: Math.min(found.freshUntil, now), mark }), expiresAt))
  });
  return {
    bounds,
    callOf: callOf2,
    controls,
    count,
    decode: decode2,
    failing: failing2,
    hold: hold2,
    isEnabled,
    isFallback,
    isStorable,
    judge,
    memory: memory2,
    name,
    provide: provide4,
    read,
    readMany,
    recovered,
    rest,
    settings,
    store,
    textOf,
    tolerate,
    version: tags2 === void 0 ? Exit6.succeed(0) : versions.version
  };
});

// src/internal/memoize/flow.ts
import * as Cause3 from "effect/Cause";
import * as Chunk4 from "effect/Chunk";
import * as Duration9 from "effect/Duration";
import * as Effect29 from "effect/Effect";
import * as Exit7 from "effect/Exit";
import * as Option8 from "effect/Option";
import * as Random3 from "effect/Random";
var failureOf = (cause) => Chunk4.isEmpty(Cause3.defects(cause)) && !Cause3.isInterrupted(cause) ? Cause3.failureOption(cause) : Option8.none();
var marked = ({ isTraced: isTraced2 }, outcome, self) => isTraced2 ? Effect29.zipRight(Effect29.annotateCurrentSpan("effect_kv.memo.outcome", outcome), self) : self;
var makeFlow = (core, flights, lookup, scope3) => {
  const { bounds, count, failing: failing2, isFallback, judge, settings, tolerate } = core;
  const standIn = (call, known2, otherwise) => {
    const { entry } = known2;
    return entry === void 0 ? otherwise : Effect29.matchEffect(core.decode(call, entry), {
      onFailure: () => otherwise,
      onSuccess: (exit6) => {
        count.staleHits(1);
        return exit6;
      }
    });
  };
  const settle = (answers, version, lookupMillis) => {
    const storable = version === void 0 ? [] : answers.flatMap(({ call, exit: exit6, isCurrent, known: known2 }) => {
      if (Exit7.isSuccess(exit6)) return [{ call, exit: Exit7.succeed(exit6.value), isCurrent, known: known2, version }];
      const failure2 = failureOf(exit6.cause);
      return Option8.isSome(failure2) && core.isStorable(failure2.value) ? [{ call, exit: Exit7.fail(failure2.value), isCurrent, known: known2, version }] : [];
    });
    const stored = storable.length === 0 ? Exit7.void : Effect29.catchAll(core.store(storable, lookupMillis), (error) => tolerate(error, Effect29.void));
    return Effect29.matchEffect(stored, {
      onFailure: (error) => Effect29.succeed(answers.map(() => Exit7.fail(error))),
      onSuccess: () => withNow(
        (now) => Effect29.forEach(answers, ({ call, exit: exit6, known: known2 }) => {
          if (Exit7.isSuccess(exit6)) return Effect29.succeed(exit6);
          const failure2 = failureOf(exit6.cause);
          if (Option8.isNone(failure2) || core.isStorable(failure2.value) || known2.entry === void 0) {
            return Effect29.succeed(exit6);
          }
          const resting = Effect29.catchAll(core.rest(call, known2.entry), (error) => tolerate(error, Effect29.void));
          return Effect29.zipRight(
            Effect29.ignore(resting),
            isFallback(known2, now) ? Effect29.exit(standIn(call, known2, exit6)) : Effect29.succeed(exit6)
          );
        })
      )
    });
  };
  const compute = (asked) => Effect29.flatMap(
    // Before the function is called: what is invalidated from then on was not known to it.
    Effect29.catchAll(core.version, (error) => tolerate(error, Effect29.succeed(void 0))),
    (version) => withNow((start) => {
      const current = asked.map(({ call: { key, situation } }) => {
        const flight = flights.flightOf(key);
        return () => situation === "transaction" || flights.flightOf(key) === flight;
      });
      return Effect29.flatMap(lookup(asked.map(({ call }) => call)), (exits) => withNow((now) => {
        const millis7 = Math.max(0, now - start);
        core.count.lookupTime(millis7);
        return settle(
          asked.map((one, i) => ({
            ...one,
            exit: exits[i] ?? Exit7.die(new Error("effect-kv: a batch has left out a call")),
            isCurrent: current[i] ?? (() => true)
          })),
          version,
          millis7
        );
      }));
    })
  );
  const refreshing = /* @__PURE__ */ new Set();
  const background = (asked, fly) => Effect29.uninterruptible(Effect29.suspend(() => {
    const calls = asked.filter(
      ({ key, situation }) => situation !== "transaction" && !refreshing.has(key) && flights.flightOf(key) === void 0
    );
    if (calls.length === 0) return Effect29.void;
    for (const { key } of calls) refreshing.add(key);
    count.refreshes(calls.length);
    const ending = Effect29.sync(() => {
      for (const { key } of calls) refreshing.delete(key);
    });
    const flying = Effect29.ensuring(Effect29.interruptible(Effect29.exit(outsideTransactions(fly))), ending);
    return Effect29.asVoid(Effect29.forkIn(flying, scope3));
  }));
  const isEarly = ({ freshUntil, lookupMillis }, now) => Effect29.map(Random3.next, (random) => now - lookupMillis * settings.beta * Math.log(random) >= freshUntil);
  const decide = (call, known2, generation, { fly, refresh }) => withNow((now) => {
    const { entry } = known2;
    const judgement = judge(known2, now);
    const miss = (known3) => {
      count.misses(1);
      return marked(call, "miss", fly(call, known3));
    };
    if (entry === void 0 || judgement === "none" || judgement === "fallback") return miss(known2);
    return Effect29.matchEffect(core.decode(call, entry), {
      onFailure: (error) => failing2.onMisfit?.(error) ?? miss({ ...known2, entry: void 0, isSoft: false }),
      onSuccess: (exit6) => {
        bounds?.used(call.key, now);
        if (judgement === "fresh") {
          count.hits(1);
          core.hold(call, entry, exit6, now, generation);
          const hit2 = marked(call, "hit", exit6);
          if (settings.beta === 0) return hit2;
          return Effect29.flatMap(
            isEarly(entry, now),
            (early) => early ? Effect29.zipRight(refresh(call, known2), hit2) : hit2
          );
        }
        count.staleHits(1);
        const hit = marked(call, "stale", exit6);
        return judgement === "revalidate" ? Effect29.zipRight(refresh(call, known2), hit) : hit;
      }
    });
  });
  const patiently = (call, known2, flight) => settings.softTimeout === void 0 ? flight : withNow(
    (now) => isFallback(known2, now) ? Effect29.zipRight(
      background([call], flight),
      Effect29.flatten(Effect29.timeoutTo(Effect29.exit(flight), {
        duration: Duration9.millis(settings.softTimeout ?? 0),
        onSuccess: (exit6) => exit6,
        onTimeout: () => standIn(call, known2, flight)
      }))
    ) : flight
  );
  return { background, compute, decide, isEarly, patiently };
};

// src/internal/memoize/lease.ts
import * as Duration10 from "effect/Duration";
import * as Effect30 from "effect/Effect";
import * as Option9 from "effect/Option";
import * as Random4 from "effect/Random";
var keyspaceName2 = "memo:leases";
var shortestPause = 20;
var longestPause = 250;
var open3 = (storage, life) => Effect30.map(storage.keyspace(keyspaceName2), (keyspace) => {
  const acquire2 = (key, owner) => withNow(
    (now) => soundly(keyspace.modify(key, (entry) => Option9.isSome(entry) ? [entry.value.expiresAt ?? now, keep2] : [void 0, put(owner, now + life)]))
  );
  const ifOwn = (key, owner, change) => Effect30.ignore(keyspace.modify(key, (entry) => [
    void 0,
    Option9.isSome(entry) && entry.value.value === owner ? change : keep2
  ]));
  const renew = (key, owner) => withNow((now) => ifOwn(key, owner, put(owner, now + life)));
  const renewing = (key, owner) => Effect30.forever(Effect30.delay(renew(key, owner), Duration10.millis(life / 3)));
  const attempt2 = (key, owner, pause, found, compute, onTrouble) => {
    const orElse = (next5) => Effect30.flatMap(found, (answer) => Option9.isSome(answer) ? Effect30.succeed(answer.value) : next5);
    const again = (heldUntil) => Effect30.flatMap(Random4.next, (random) => withNow((now) => {
      const millis7 = Math.max(1, Math.min(pause * (0.5 + random), heldUntil - now));
      const next5 = attempt2(key, owner, Math.min(pause * 2, longestPause), found, compute, onTrouble);
      return Effect30.zipRight(Effect30.sleep(Duration10.millis(millis7)), orElse(next5));
    }));
    return Effect30.uninterruptibleMask(
      (restore) => Effect30.matchEffect(acquire2(key, owner), {
        onFailure: (error) => restore(onTrouble(error)),
        onSuccess: (heldUntil) => heldUntil === void 0 ? Effect30.ensuring(
          restore(orElse(Effect30.raceFirst(compute, renewing(key, owner)))),
          ifOwn(key, owner, remove)
        ) : restore(again(heldUntil))
      })
    );
  };
  return {
    within: (key, found, compute, onTrouble) => Effect30.flatMap(word, (owner) => attempt2(key, owner, shortestPause, found, compute, onTrouble))
  };
});

// src/internal/memoize/memo.ts
var make6 = (options, f) => Effect31.gen(function* () {
  const core = yield* makeCore(options, {
    onMisfit: options.onDecodeFailure === "fail" ? Effect31.fail : void 0,
    onTrouble: options.onStorageFailure === "fail" ? Effect31.fail : void 0
  });
  const { count, isEnabled, memory: memory2, settings, tolerate } = core;
  const storage = yield* Storage;
  const leases = settings.lease === void 0 ? void 0 : yield* open3(storage, settings.lease);
  const provide4 = providing(yield* lastingContext());
  const flights = new Flights();
  const reads = new Flights();
  const asking = /* @__PURE__ */ new Set();
  const { hardTimeout } = settings;
  const run2 = (args) => {
    const self = provide4(Effect31.suspend(() => f(...args)));
    return hardTimeout === void 0 ? self : Effect31.timeout(self, hardTimeout);
  };
  const flow = makeFlow(
    core,
    flights,
    (calls) => Effect31.forEach(calls, ({ args }) => Effect31.exit(run2(args))),
    yield* Effect31.scope
  );
  const once = (call, known2) => Effect31.map(flow.compute([{ call, known: known2 }]), ([exit6]) => exit6 ?? Exit8.die(new Error("effect-kv: no answer")));
  const found = (known2, call) => Effect31.clockWith(
    (clock) => known2.entry !== void 0 && core.judge(known2, clock.unsafeCurrentTimeMillis()) === "fresh" ? Effect31.option(core.decode(call, known2.entry)) : Effect31.succeedNone
  );
  const lookAgain = (call) => Effect31.flatMap(Effect31.orElseSucceed(core.read(call), () => nothing), (known2) => found(known2, call));
  const computed = (call, known2) => Effect31.flatten(
    leases === void 0 || call.situation === "transaction" ? once(call, known2) : leases.within(call.key, lookAgain(call), once(call, known2), (error) => tolerate(error, once(call, known2)))
  );
  const flying = (call, known2, landed) => flights.join(
    call.key,
    Effect31.suspend(
      () => landed === void 0 || flights.landed === landed ? computed(call, known2) : Effect31.flatMap(Effect31.orElseSucceed(core.read(call), () => known2), (known3) => Effect31.flatMap(found(known3, call), (exit6) => Option10.isSome(exit6) ? exit6.value : computed(call, known3)))
    ),
    run2(call.args)
  );
  const answer = (call) => Effect31.suspend(() => {
    const generation = memory2?.generation ?? 0;
    const { landed } = flights;
    return Effect31.matchEffect(core.read(call), {
      onFailure: (error) => tolerate(error, flights.join(call.key, run2(call.args), run2(call.args))),
      onSuccess: (known2) => flow.decide(call, known2, generation, {
        fly: (call2, known3) => flow.patiently(call2, known3, flying(call2, known3, landed)),
        refresh: (call2, known3) => flow.background([call2], flying(call2, known3, void 0))
      })
    });
  });
  const ask = (call) => {
    if (call.situation === "transaction") return answer(call);
    if (asking.has(call.key)) {
      count.collapsed(1);
      return reads.join(call.key, answer(call), run2(call.args));
    }
    return Effect31.ensuring(
      Effect31.suspend(() => {
        asking.add(call.key);
        return answer(call);
      }),
      Effect31.sync(() => void asking.delete(call.key))
    );
  };
  const called = (args, text2, situation, fiber) => {
    const traced2 = isTraced(fiber);
    if (memory2 !== void 0 && situation === "plain") {
      const now = clockOf(fiber).unsafeCurrentTimeMillis();
      const kept = memory2.get(text2, now);
      if (kept !== void 0) {
        count.hits(1);
        core.bounds?.used(kept.storedAs, now);
        if (settings.beta === 0) return kept.exit;
        return Effect31.flatMap(flow.isEarly(kept, now), (early) => {
          const call2 = core.callOf(args, text2, situation, traced2);
          return early ? Effect31.zipRight(flow.background([call2], flying(call2, nothing, void 0)), kept.exit) : kept.exit;
        });
      }
    }
    const call = core.callOf(args, text2, situation, traced2);
    return traced2 ? Effect31.withSpan(ask(call), `memoize ${core.name}`, {
      attributes: { "effect_kv.memo": core.name },
      captureStackTrace: false
    }) : ask(call);
  };
  const around = (args) => {
    count.bypasses(1);
    return run2(args);
  };
  const memoised = (args, situation, fiber) => {
    const text2 = core.textOf(args);
    return isDone(text2) && Exit8.isSuccess(text2) ? called(args, text2.value, situation, fiber) : Effect31.matchEffect(text2, {
      onFailure: (error) => tolerate(error, run2(args)),
      onSuccess: (text3) => called(args, text3, situation, fiber)
    });
  };
  const memo = (...args) => Effect31.withFiberRuntime((fiber) => {
    const situation = situationOf(fiber.currentContext);
    return situation === "bypassed" ? around(args) : isEnabled === void 0 ? memoised(args, situation, fiber) : Effect31.flatMap(isEnabled, (on) => on ? memoised(args, situation, fiber) : around(args));
  });
  const refresh = (...args) => Effect31.withFiberRuntime((fiber) => {
    const situation = situationOf(fiber.currentContext);
    if (situation === "bypassed") return around(args);
    return Effect31.matchEffect(core.textOf(args), {
      onFailure: (error) => tolerate(error, run2(args)),
      onSuccess: (text2) => {
        const call = core.callOf(args, text2, situation);
        count.refreshes(1);
        flights.supersede(call.key);
        const anew = Effect31.flatMap(
          Effect31.orElseSucceed(core.read(call), () => nothing),
          ({ mark }) => Effect31.flatten(once(call, { ...nothing, mark }))
        );
        return flights.join(call.key, anew, run2(args));
      }
    });
  });
  const supersede = (key) => {
    flights.supersede(key);
    reads.supersede(key);
  };
  return Object.assign(memo, core.controls(supersede), { refresh });
});
var fromPromise = (f, onRejected) => (...args) => {
  const run2 = async (signal) => f(...args, signal);
  return onRejected === void 0 ? Effect31.tryPromise(run2) : Effect31.tryPromise({ catch: onRejected, try: run2 });
};
var makeDouble = (f) => Effect31.map(Effect31.context(), (context5) => {
  const run2 = (...args) => Effect31.provide(Effect31.suspend(() => f(...args)), context5);
  return Object.assign((...args) => run2(...args), {
    invalidate: () => Effect31.succeed(false),
    invalidateAll: Effect31.succeed(0),
    keyOf: (...args) => Effect31.sync(() => digest2(print3(args))),
    peek: () => Effect31.succeedNone,
    refresh: run2,
    softInvalidate: () => Effect31.succeed(false)
  });
});

// src/internal/memoize/request.ts
import * as Effect32 from "effect/Effect";
import * as Either9 from "effect/Either";
import * as Exit9 from "effect/Exit";
import * as Request from "effect/Request";
import * as RequestResolver from "effect/RequestResolver";
import * as Schema4 from "effect/Schema";
var Need = class {
  constructor(call, known2) {
    this.call = call;
    this.known = known2;
  }
  call;
  known;
};
var make7 = (options, resolver) => Effect32.gen(function* () {
  const core = yield* makeCore({
    ...options,
    args: Schema4.Tuple(options.request),
    hardTimeout: void 0,
    lease: void 0,
    name: options.name ?? options.request._tag,
    success: options.request.success
  }, {});
  const { count, isEnabled, memory: memory2, tolerate } = core;
  const flights = new Flights();
  const bare = RequestResolver.provideContext(resolver, yield* lastingContext());
  const run2 = (requests) => Effect32.forEach(requests, (request3) => Effect32.exit(Effect32.request(request3, bare)), { batching: true }).pipe(
    Effect32.withRequestCaching(false)
  );
  const flow = makeFlow(
    core,
    flights,
    (calls) => run2(calls.map(({ args: [request3] }) => request3)),
    yield* Effect32.scope
  );
  const one = (exits) => exits[0] ?? unanswered;
  const batchOf = (needs) => {
    const batches = new Flights();
    const all4 = Effect32.map(
      flow.compute(needs),
      (exits) => new Map(needs.map(({ call: { key } }, i) => [key, exits[i] ?? unanswered]))
    );
    const keys = new Set(needs.map(({ call: { key } }) => key));
    return (need) => {
      const { args, key } = need.call;
      return flights.join(
        key,
        keys.has(key) ? Effect32.flatMap(batches.join("", all4, all4), (exits) => exits.get(key) ?? unanswered) : Effect32.flatMap(flow.compute([need]), one),
        Effect32.flatMap(run2(args), one)
      );
    };
  };
  const fly = (needs) => Effect32.suspend(() => {
    if (needs[0]?.call.situation === "transaction") return flow.compute(needs);
    const partOf = batchOf(needs.filter(({ call: { key } }) => flights.flightOf(key) === void 0));
    return Effect32.forEach(
      needs,
      (need) => Effect32.exit(flow.patiently(need.call, need.known, partOf(need))),
      { concurrency: "unbounded" }
    );
  });
  const resolve3 = (calls) => Effect32.gen(function* () {
    const generation = memory2?.generation ?? 0;
    const knowns = yield* core.readMany(calls);
    const stale = [];
    const found = yield* Effect32.forEach(
      calls,
      (call, i) => Effect32.exit(flow.decide(call, knowns[i] ?? nothing, generation, {
        fly: (call2, known2) => Effect32.succeed(new Need(call2, known2)),
        refresh: (call2, known2) => Effect32.sync(() => void stale.push(new Need(call2, known2)))
      }))
    );
    if (stale.length > 0) yield* flow.background(stale.map(({ call }) => call), Effect32.suspend(() => fly(stale)));
    const needs = found.flatMap((exit6) => Exit9.isSuccess(exit6) && exit6.value instanceof Need ? [exit6.value] : []);
    const flown = (yield* fly(needs)).values();
    return found.map((exit6) => {
      if (Exit9.isFailure(exit6)) return Exit9.failCause(exit6.cause);
      return exit6.value instanceof Need ? flown.next().value ?? unanswered : Exit9.succeed(exit6.value);
    });
  });
  const complete = (requests, answers) => Effect32.forEach(requests, (request3, i) => Exit9.matchEffect(answers[i] ?? unanswered, {
    onFailure: (cause) => Request.failCause(request3, cause),
    onSuccess: (value) => Request.succeed(request3, value)
  }), { discard: true });
  const around = (requests) => Effect32.flatMap(run2(requests), (answers) => complete(requests, answers));
  const memoised = (requests, situation) => Effect32.gen(function* () {
    const calls = /* @__PURE__ */ new Map();
    const keyless = [];
    for (const request3 of requests) {
      const text2 = yield* Effect32.either(core.textOf([request3]));
      if (Either9.isLeft(text2)) {
        keyless.push(request3);
        yield* tolerate(text2.left, Effect32.void);
        continue;
      }
      const call = core.callOf([request3], text2.right, situation);
      const same = calls.get(call.key);
      if (same === void 0) calls.set(call.key, { call, requests: [request3] });
      else same.requests.push(request3);
    }
    const all4 = [...calls.values()];
    count.collapsed(requests.length - keyless.length - all4.length);
    if (keyless.length > 0) yield* around(keyless);
    if (all4.length === 0) return;
    const answers = yield* Effect32.catchAll(
      resolve3(all4.map(({ call }) => call)),
      (error) => tolerate(error, run2(all4.map(({ call: { args: [request3] } }) => request3)))
    );
    yield* Effect32.forEach(
      all4,
      ({ requests: requests2 }, i) => complete(requests2, requests2.map(() => answers[i] ?? unanswered))
    );
  });
  const memo = RequestResolver.makeBatched(
    (requests) => Effect32.withFiberRuntime((fiber) => {
      const situation = situationOf(fiber.currentContext);
      const bypassed = Effect32.suspend(() => {
        count.bypasses(requests.length);
        return around(requests);
      });
      if (situation === "bypassed") return bypassed;
      return isEnabled === void 0 ? memoised(requests, situation) : Effect32.flatMap(isEnabled, (on) => on ? memoised(requests, situation) : bypassed);
    })
  );
  return Object.assign(memo, core.controls((key) => flights.supersede(key)));
});
var unanswered = Exit9.die(new Error("effect-kv: a batch has left out a request"));

// src/Memoize.ts
function make8(options, f) {
  return make6(options, f);
}
function promise(options, f) {
  return make6(options, fromPromise(f, options.catch));
}
var request2 = make7;
var Tag4 = () => (id, options, f) => {
  const tag = Context10.Tag(id)();
  const layer4 = Layer3.scoped(tag, make8({ ...options, name: options.name ?? id }, f));
  return Object.assign(tag, {
    layer: layer4,
    layerMemory: inMemory(layer4),
    layerTest: (f2) => Layer3.effect(tag, makeDouble(f2))
  });
};
var invalidateTag = (tag, options) => invalidateTags([tag], options);
var invalidateTags = invalidate;
var bypass = bypassing;
var metrics4 = metrics3;

// src/Sqlite.ts
var Sqlite_exports = {};
__export(Sqlite_exports, {
  backup: () => backup,
  checkpoint: () => checkpoint,
  integrityCheck: () => integrityCheck,
  layer: () => layer3,
  layerConfig: () => layerConfig,
  make: () => make13,
  optimize: () => optimize,
  vacuum: () => vacuum
});
import * as Reactivity from "@effect/experimental/Reactivity";
import * as SqliteClient2 from "@effect/sql-sqlite-node/SqliteClient";
import * as SqlClient5 from "@effect/sql/SqlClient";
import * as Config from "effect/Config";
import * as Context12 from "effect/Context";
import * as Effect36 from "effect/Effect";
import * as Layer4 from "effect/Layer";

// src/internal/sqlite/client.ts
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient";
import * as SqlClient4 from "@effect/sql/SqlClient";
import { SqlError as SqlError4 } from "@effect/sql/SqlError";
import * as Statement from "@effect/sql/Statement";
import * as Context11 from "effect/Context";
import * as Duration11 from "effect/Duration";
import * as Effect35 from "effect/Effect";
import { identity as identity3 } from "effect/Function";

// src/internal/sqlite/path.ts
import * as Effect33 from "effect/Effect";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
var memory = ":memory:";
var resolve2 = (filename) => filename === memory ? memory : path.resolve(
  filename === "~" || filename.startsWith("~/") || filename.startsWith(`~${path.sep}`) ? path.join(os.homedir(), filename.slice(1)) : filename
);
var reasons = {
  EACCES: "Permission",
  EDQUOT: "Full",
  ENOSPC: "Full",
  EPERM: "Permission",
  EROFS: "ReadOnly"
};
var prepare = (file) => Effect33.try({
  try: () => {
    fs.mkdirSync(path.dirname(file), { mode: 448, recursive: true });
    if (!fs.existsSync(file)) fs.closeSync(fs.openSync(file, "a", 384));
  },
  catch: (cause) => systemFault(file, "created", cause)
});
var systemFault = (file, done2, cause) => {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const message = cause instanceof Error ? cause.message : String(cause);
  const why = code === "ENOTDIR" || code === "EEXIST" ? "a part of its path is a file and not a folder" : message;
  return new Fault(reasons[code] ?? "Unavailable", `${file} cannot be ${done2}: ${why}`, cause);
};
var allows = (file, mode) => {
  try {
    fs.accessSync(file, mode);
    return true;
  } catch {
    return false;
  }
};
var explain = (file, readonly, fault) => {
  if (file === memory) return fault;
  const named = new Fault(fault.reason, `${file}: ${fault.detail}`, fault.cause);
  if (!vague.has(fault.reason)) return named;
  const because = (reason, detail) => new Fault(reason, `${file} ${detail}`, fault.cause);
  let stat;
  try {
    stat = fs.statSync(file, { throwIfNoEntry: false });
  } catch (cause) {
    return systemFault(file, "opened", cause);
  }
  if (stat === void 0) return because("Unavailable", "does not exist, and a read-only database is not created");
  if (stat.isDirectory()) return because("NotADatabase", "is a folder; name a file in it");
  if (!allows(file, fs.constants.R_OK)) return because("Permission", "may not be read by this user; check its rights");
  if (!readonly && !allows(file, fs.constants.W_OK)) {
    return because("ReadOnly", "may not be written by this user; check its rights or open it with readonly: true");
  }
  if (!allows(path.dirname(file), fs.constants.W_OK)) {
    return because(
      "ReadOnly",
      "is in a folder that this user may not write, where SQLite needs its -wal and -shm files"
    );
  }
  return named;
};
var vague = /* @__PURE__ */ new Set(["Unavailable", "ReadOnly", "Permission", "Unknown"]);

// src/internal/sqlite/pragmas.ts
import * as Effect34 from "effect/Effect";
var synchronous = ["OFF", "NORMAL", "FULL", "EXTRA"];
var autoVacuum = ["NONE", "FULL", "INCREMENTAL"];
var journalModes = ["WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY"];
var fixed = "an existing database keeps it until it is vacuumed; leave the option out to accept that";
var oneOf2 = (name, value, allowed) => {
  const index = allowed.indexOf(value);
  return index >= 0 ? Effect34.succeed(index) : Effect34.fail(new Fault("Incompatible", `${name} ${JSON.stringify(value)} is not one of ${allowed.join(", ")}`));
};
var pageSizes = /* @__PURE__ */ new Set([512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]);
var size = (name, value) => Number.isSafeInteger(value) && value >= 0 ? Effect34.succeed(value) : Effect34.fail(new Fault("Incompatible", `${name} is a number of bytes, not ${value}`));
var pragmas = (options) => Effect34.gen(function* () {
  const list = [{ expected: 0, hint: "", name: "busy_timeout", value: 0 }];
  const add5 = (name, value, expected, hint = "") => list.push({ expected, hint, name, value });
  if (options.readonly !== true) {
    if (options.pageSize !== void 0) {
      const bytes2 = yield* size("pageSize", options.pageSize);
      if (!pageSizes.has(bytes2)) {
        return yield* Effect34.fail(
          new Fault("Incompatible", `pageSize ${bytes2} is not a power of two from 512 to 65536`)
        );
      }
      add5("page_size", bytes2, bytes2, fixed);
    }
    const vacuum2 = yield* oneOf2("autoVacuum", options.autoVacuum ?? "INCREMENTAL", autoVacuum);
    add5("auto_vacuum", vacuum2, options.autoVacuum === void 0 ? void 0 : vacuum2, fixed);
    const mode = options.journalMode ?? "WAL";
    yield* oneOf2("journalMode", mode, journalModes);
    const wish = options.filename === memory && options.journalMode === void 0;
    if (!wish) {
      add5(
        "journal_mode",
        mode,
        mode.toLowerCase(),
        "a database in memory, or on a file system without shared memory, cannot have every mode; choose another"
      );
    }
  }
  const level = yield* oneOf2("synchronous", options.synchronous ?? "NORMAL", synchronous);
  add5("synchronous", level, level);
  if (options.cacheSize !== void 0) {
    const kibibytes = -Math.ceil((yield* size("cacheSize", options.cacheSize)) / 1024);
    add5("cache_size", kibibytes, kibibytes);
  }
  if (options.mmapSize !== void 0) {
    const bytes2 = yield* size("mmapSize", options.mmapSize);
    if (options.filename !== memory) add5("mmap_size", bytes2, bytes2);
  }
  return list;
});
var apply = (options, run2) => {
  const pragma = (text2) => run2((connection) => sqlite.compiling(connection).execute(`PRAGMA ${text2}`, [], void 0));
  const read = (name) => Effect34.map(pragma(name), (rows) => Object.values(rows[0] ?? {})[0]);
  return Effect34.gen(function* () {
    for (const { expected, hint, name, value } of yield* pragmas(options)) {
      yield* pragma(`${name} = ${value}`);
      const actual = yield* read(name);
      if (expected !== void 0 && actual !== expected) {
        return yield* Effect34.fail(
          new Fault(
            "Incompatible",
            `PRAGMA ${name} = ${value} did not take, it is ${actual}${hint === "" ? "" : `: ${hint}`}`
          )
        );
      }
    }
    yield* read("schema_version");
  });
};

// src/internal/sqlite/client.ts
var prepared = { prepareCacheSize: 1e3, prepareCacheTTL: Duration11.infinity };
var toFault2 = (error) => sqlite.classify(error);
var make11 = (options) => Effect35.gen(function* () {
  const file = resolve2(options.filename);
  const readonly = options.readonly === true;
  if (options.filename === "") {
    return yield* Effect35.fail(
      new Fault("Unavailable", `the filename is empty; name a file, or "${memory}" for a database in memory`)
    );
  }
  if (file !== memory && !readonly) yield* prepare(file);
  const inner = yield* open4({ ...prepared, disableWAL: true, filename: file, readonly }).pipe(
    Effect35.mapError((fault) => explain(file, readonly, fault))
  );
  const connection = yield* Effect35.mapError(Effect35.scoped(inner.reserve), (error) => classify2(error.cause, error));
  const careful = sqlite.recompiling(connection);
  const gate = new Gate();
  const lockTimeout = yield* durationSetting("lockTimeout", options.lockTimeout ?? "5 seconds");
  const access = new Access({
    ...dialectCommands(sqlite),
    careful: () => careful,
    enter: (context5, { depth }) => Context11.add(context5, SqlClient4.TransactionConnection, [gated, depth]),
    exclusive: (self, settle, wait) => hold(gate, () => self(connection), settle, wait),
    joined: () => void 0,
    lockTimeout
  }, yield* Effect35.runtime());
  const gated = gatedConnection(access, sqlite);
  yield* apply(
    { ...options, filename: file },
    (body) => access.run(body, identity3, { fail: identity3 })
  ).pipe(
    Effect35.mapError((fault) => explain(file, readonly, fault))
  );
  const alone = (effect3) => access.run(() => effect3, identity3, { fail: toSqlError });
  const reserve = Effect35.uninterruptibleMask(
    (restore) => Effect35.flatMap(access.level, (level) => {
      const reserved = level?.gate ?? gate;
      return acquire(reserved, {
        millis: Duration11.toMillis(lockTimeout),
        onTimeout: () => new SqlError4({ message: "The connection was not free within the lock time-out" }),
        restore
      }).pipe(
        Effect35.zipRight(Effect35.addFinalizer(() => Effect35.sync(() => reserved.release()))),
        Effect35.zipRight(Effect35.mapError(access.check(level), toSqlError)),
        Effect35.as(level?.connection ?? careful)
      );
    })
  );
  const client = Object.assign(
    // The type says that SQLite lacks `updateValues`; the member is there, as it is in the inner client.
    yield* SqlClient4.make({
      acquirer: Effect35.succeed(gated),
      compiler: Statement.makeCompilerSqlite(),
      spanAttributes: [["db.system.name", sqlite.system]],
      transactionAcquirer: reserve
    }),
    {
      [SqliteClient.TypeId]: SqliteClient.TypeId,
      backup: (destination) => alone(inner.backup(destination)),
      config: inner.config,
      export: alone(inner.export),
      loadExtension: (file2) => alone(inner.loadExtension(file2)),
      withTransaction: (self) => access.transaction(self, { fail: toSqlError, method: "transaction" })
    }
  );
  registerAccess(client, { access, dialect: sqlite });
  yield* Effect35.addFinalizer(() => close2(access, connection, readonly, options.optimizeOnClose !== false));
  return client;
}).pipe(Effect35.mapError(failing("open")));
var open4 = (config) => Effect35.catchAllDefect(SqliteClient.make(config), (defect) => Effect35.fail(classify2(defect)));
var close2 = (access, connection, readonly, optimize2) => {
  const pragma = (text2) => Effect35.ignore(
    access.run(() => sqlite.compiling(connection).execute(text2, [], void 0), identity3, { fail: identity3 })
  );
  return access.flush.pipe(
    Effect35.zipRight(optimize2 && !readonly ? pragma(optimizePragma) : Effect35.void),
    Effect35.zipRight(readonly ? Effect35.void : pragma("PRAGMA wal_checkpoint(TRUNCATE)")),
    Effect35.zipRight(access.close)
  );
};
var optimizePragma = "PRAGMA optimize = 0x10012";

// src/Sqlite.ts
var make13 = (options) => make11(options);
var context4 = (client) => Context12.make(SqlClient5.SqlClient, client).pipe(Context12.add(SqliteClient2.SqliteClient, client));
var layer3 = (options) => Layer4.provide(Layer4.scopedContext(Effect36.map(make13(options), context4)), Reactivity.layer);
var layerConfig = (config) => Layer4.provide(
  Layer4.scopedContext(Effect36.map(Effect36.flatMap(Config.unwrap(config), make13), context4)),
  Reactivity.layer
);
var mapError10 = (method) => (error) => failing(method)(toFault2(error));
var statement = (method, text2) => Effect36.flatMap(
  SqliteClient2.SqliteClient,
  (client) => Effect36.mapError(client.unsafe(text2).unprepared, mapError10(method))
);
var optimize = Effect36.asVoid(
  statement("optimize", optimizePragma)
);
var checkpoint = Effect36.asVoid(
  statement("checkpoint", "PRAGMA wal_checkpoint(TRUNCATE)")
);
var vacuum = Effect36.asVoid(
  statement("vacuum", "VACUUM")
);
var integrityCheck = Effect36.map(
  statement("integrityCheck", "PRAGMA integrity_check"),
  (rows) => rows.flatMap((row) => Object.values(row)).map(String).filter((message) => message !== "ok")
);
var backup = (filename) => Effect36.flatMap(SqliteClient2.SqliteClient, (client) => {
  const file = resolve2(filename);
  if (file === memory) {
    return Effect36.fail(
      failing("backup")(new Fault("Unavailable", "a backup in memory would be gone at once; name a file"))
    );
  }
  return Effect36.zipRight(
    Effect36.mapError(prepare(file), failing("backup")),
    Effect36.asVoid(Effect36.mapError(client.backup(file), mapError10("backup")))
  );
});

// zz2.ts
var program = Effect37.gen(function* () {
  let n = 0;
  const f = yield* Memoize_exports.make({ args: Schema5.Tuple(Schema5.String), name: "f", success: Schema5.Number, timeToLive: "10 minutes" }, (s2) => Effect37.delay(Effect37.sync(() => ++n), "20 millis"));
  for (let round = 0; round < 6; round++) {
    const t = performance.now();
    const fibers = [];
    for (let i = 0; i < 1e4; i++) fibers.push(yield* Effect37.fork(f("cold" + round)));
    for (const x of fibers) yield* Fiber3.join(x);
    const memo = performance.now() - t;
    const u = performance.now();
    const d = yield* Deferred2.make();
    yield* Effect37.fork(Effect37.delay(Deferred2.succeed(d, 1), "20 millis"));
    const fs2 = [];
    for (let i = 0; i < 1e4; i++) fs2.push(yield* Effect37.fork(Deferred2.await(d)));
    for (const x of fs2) yield* Fiber3.join(x);
    const raw2 = performance.now() - u;
    console.log("memo", memo.toFixed(0), "deferred", raw2.toFixed(0), (memo / raw2).toFixed(2));
  }
  const time2 = (name, self) => Effect37.gen(function* () {
    for (let r = 0; r < 4; r++) {
      const t = performance.now();
      for (let i = 0; i < 2e4; i++) yield* self;
      if (r === 3) console.log(name, ((performance.now() - t) / 20).toFixed(2), "us");
    }
  });
  yield* time2("hit", f("cold1"));
  const m = yield* Memoize_exports.make({ args: Schema5.Tuple(Schema5.String), name: "m", success: Schema5.Struct({ a: Schema5.Number, b: Schema5.String }), timeToLive: "10 minutes", inMemory: { capacity: 100, maxAge: "1 hour" } }, (s2) => Effect37.succeed({ a: 1, b: s2 }));
  yield* time2("memory hit", m("x"));
  const s = yield* Memoize_exports.make({ args: Schema5.Tuple(Schema5.String), name: "s", success: Schema5.Struct({ a: Schema5.Number, b: Schema5.String }), timeToLive: "10 minutes" }, (s2) => Effect37.succeed({ a: 1, b: s2 }));
  yield* time2("struct hit", s("x"));
});
Effect37.runPromise(Effect37.scoped(Effect37.provide(program, Storage_exports.layer()).pipe(Effect37.provide(Sqlite_exports.layer({ filename: "/tmp/zz.db" })))));
