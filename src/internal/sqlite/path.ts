/**
 * The file behind a database: where it is, the folder it needs, and why it could not be opened.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { StorageErrorReason } from "../../StorageError.js"
import { Fault } from "../storage/fault.js"

/** @internal */
export const memory = ":memory:"

/**
 * `~` is the home folder of the user, alone or before a slash.
 *
 * @internal
 */
export const resolve = (filename: string): string =>
  filename === memory ? memory : path.resolve(
    filename === "~" || filename.startsWith("~/") || filename.startsWith(`~${path.sep}`)
      ? path.join(os.homedir(), filename.slice(1))
      : filename
  )

const reasons: { readonly [code: string]: StorageErrorReason } = {
  EACCES: "Permission",
  EDQUOT: "Full",
  ENOSPC: "Full",
  EPERM: "Permission",
  EROFS: "ReadOnly"
}

/**
 * Makes the parent folders, and an empty file, that only their owner may enter and read. What exists is left as it is.
 *
 * @internal
 */
export const prepare = (file: string): Effect.Effect<void, Fault> =>
  Effect.try({
    try: () => {
      fs.mkdirSync(path.dirname(file), { mode: 0o700, recursive: true })
      if (!fs.existsSync(file)) fs.closeSync(fs.openSync(file, "a", 0o600))
    },
    catch: (cause) => systemFault(file, "created", cause)
  })

const systemFault = (file: string, done: string, cause: unknown): Fault => {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : ""
  const message = cause instanceof Error ? cause.message : String(cause)
  const why = code === "ENOTDIR" || code === "EEXIST" ? "a part of its path is a file and not a folder" : message
  return new Fault(reasons[code] ?? "Unavailable", `${file} cannot be ${done}: ${why}`, cause)
}

const allows = (file: string, mode: number): boolean => {
  try {
    fs.accessSync(file, mode)
    return true
  } catch {
    return false
  }
}

/**
 * SQLite reports several causes in the same words; the path tells which it was.
 *
 * @internal
 */
export const explain = (file: string, readonly: boolean, fault: Fault): Fault => {
  if (file === memory) return fault
  const named = new Fault(fault.reason, `${file}: ${fault.detail}`, fault.cause)
  if (!vague.has(fault.reason)) return named
  const because = (reason: StorageErrorReason, detail: string) => new Fault(reason, `${file} ${detail}`, fault.cause)
  let stat: fs.Stats | undefined
  try {
    stat = fs.statSync(file, { throwIfNoEntry: false })
  } catch (cause) {
    return systemFault(file, "opened", cause)
  }
  if (stat === undefined) return because("Unavailable", "does not exist, and a read-only database is not created")
  if (stat.isDirectory()) return because("NotADatabase", "is a folder; name a file in it")
  if (!allows(file, fs.constants.R_OK)) return because("Permission", "may not be read by this user; check its rights")
  if (!readonly && !allows(file, fs.constants.W_OK)) {
    return because("ReadOnly", "may not be written by this user; check its rights or open it with readonly: true")
  }
  if (!allows(path.dirname(file), fs.constants.W_OK)) {
    return because(
      "ReadOnly",
      "is in a folder that this user may not write, where SQLite needs its -wal and -shm files"
    )
  }
  return named
}

const vague: ReadonlySet<StorageErrorReason> = new Set(["Unavailable", "ReadOnly", "Permission", "Unknown"])
