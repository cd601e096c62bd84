// A certified OpenID Connect provider for tests. Arguments: its package's folder, its port, where it sends people back.
// Whoever signs in is believed to be who they say, with that e-mail address.
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [folder, port, redirect] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(`${folder}/lib/index.js`));
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "tracker",
      client_secret: "a secret / with: odd=signs",
      redirect_uris: [redirect],
      grant_types: ["authorization_code"],
      response_types: ["code"],
    },
  ],
  pkce: { required: () => true },
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: id, email_verified: !id.startsWith("unverified") }),
  }),
});
createServer(provider.callback()).listen(Number(port), "127.0.0.1", () => console.log("listening"));
