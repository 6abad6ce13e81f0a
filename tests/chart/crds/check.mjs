// Checks objects by the published schemas of their kinds: [object, …] on standard input, [[problem, …], …] out of it.
// The validators know values but let unknown names pass; the types, which come from the same source, know the names.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

const GROUPS = {
  "monitoring.coreos.com": "prometheus-operator",
  "gateway.networking.k8s.io": "gateway-api",
  "keda.sh": "keda",
  "external-secrets.io": "external-secrets",
};

const text = [];
for await (const piece of process.stdin) text.push(piece);
const objects = JSON.parse(text.join(""));
const models = objects.map((one) => {
  const [group] = one.apiVersion.split("/");
  return `@kubernetes-models/${GROUPS[group]}/${one.apiVersion}/${one.kind}`;
});

const problems = await Promise.all(
  objects.map(async (one, index) => {
    const model = (await import(models[index]))[one.kind];
    try {
      new model(one).validate();
      return [];
    } catch (error) {
      return error.errors.map((each) => `${each.instancePath} ${each.message}`);
    }
  }),
);

const source = objects.map(
  (one, index) => `export const o${index}: import("${models[index]}").I${one.kind} = ${JSON.stringify(one)};`,
);
const file = join(process.cwd(), "objects.mts");
writeFileSync(file, source.join("\n"));
const program = ts.createProgram([file], {
  noEmit: true,
  strict: true,
  skipLibCheck: true,
  types: [],
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
});
for (const found of ts.getPreEmitDiagnostics(program)) {
  const index = found.file ? found.file.getLineAndCharacterOfPosition(found.start).line : 0;
  problems[index].push(ts.flattenDiagnosticMessageText(found.messageText, " "));
}
process.stdout.write(JSON.stringify(problems));
