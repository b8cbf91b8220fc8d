// Uploads a file with tus-js-client and prints what came of it, one JSON object.
// node upload.js ENDPOINT TOKEN FILE [--stop-after BYTES] [--resume URL] [--with-creation]
import fs from 'node:fs'
import { parseArgs } from 'node:util'
import { Upload } from 'tus-js-client'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'stop-after': { type: 'string' },
    resume: { type: 'string' },
    'with-creation': { type: 'boolean' },
  },
})
const [endpoint, token, path] = positionals
const stopAfter = values['stop-after'] ? Number(values['stop-after']) : Infinity

const upload = new Upload(fs.createReadStream(path), {
  endpoint,
  uploadUrl: values.resume ?? null,
  uploadSize: fs.statSync(path).size,
  uploadDataDuringCreation: values['with-creation'] ?? false,
  chunkSize: 1 << 20,
  retryDelays: [50, 100, 200, 400],
  headers: { Authorization: `Bearer ${token}` },
  metadata: { filename: 'Протокол.bin', filetype: 'application/octet-stream' },
  onChunkComplete: (_, accepted) => {
    if (accepted >= stopAfter) {
      console.log(JSON.stringify({ url: upload.url, accepted }))
      process.exit(0)
    }
  },
  onSuccess: ({ lastResponse }) => {
    const receipt = lastResponse.getHeader('ArtStore-Receipt')
    console.log(JSON.stringify({ url: upload.url, receipt }))
  },
  onError: (error) => {
    console.error(error.message)
    process.exit(1)
  },
})
upload.start()
