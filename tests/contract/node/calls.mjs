// Makes the calls that standard input lists, one after the other, with the stock SDK named on the command line,
// and prints what came of each as JSON.
import { text } from "node:stream/consumers";

const { default: OpenAI } = await import(process.argv[2]);
const { base_url: baseURL, calls } = JSON.parse(await text(process.stdin));

async function attempt(call) {
  const statuses = [];
  const client = new OpenAI({
    apiKey: call.key,
    baseURL,
    maxRetries: call.max_retries,
    fetch: async (url, init) => {
      const response = await fetch(url, init);
      statuses.push(response.status);
      return response;
    },
  });
  try {
    return { statuses, ...(await made(client, call)) };
  } catch (error) {
    return { statuses, ...described(error) };
  }
}

async function made(client, { fields, raw, headers }) {
  if (raw) {
    const [method, path, body] = raw;
    return { data: await client[method](path, { body: body ?? undefined, headers }) };
  }
  const { data, response } = await client.images.generate(fields, { headers }).withResponse();
  if (fields.stream) {
    const events = [];
    for await (const event of data) events.push(event);
    return { data: events };
  }
  return { data, headers: Object.fromEntries(response.headers) };
}

function described(error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  return {
    class: error.constructor.name,
    status: error.status,
    code: error.code,
    param: error.param,
    type: error.type,
    message: error.message,
    request_id: error.requestID,
    headers: Object.fromEntries(error.headers),
  };
}

const results = [];
for (const call of calls) {
  for (let before = 1; before < call.times; before += 1) await attempt(call);
  results.push(await Promise.all(Array.from({ length: call.together }, () => attempt(call))));
}
console.log(JSON.stringify(results));
