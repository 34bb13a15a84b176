import { kinds } from "./engines.js"
import { suite } from "./suites/ktModel.js"

for (const engine of kinds) suite(engine)
