import { kinds } from "./engines.js"
import { suite } from "./suites/ktCursor.js"

for (const engine of kinds) suite(engine)
