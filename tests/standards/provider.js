// An identity provider by oidc-provider, and an application that signs people in by it with openid-client. It obeys
// commands, one JSON object a line, and answers each by a line.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';
import * as openid from 'openid-client';
import { serve } from './commands.js';

const CLIENT = 'portcullis';
const SECRET = 'a-secret-of-the-application';

const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;
const callback = `${issuer}/application/callback`;

let client;
// What became of the logout tokens that were sent.
const sent = [];

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: 'of-the-test', use: 'sig', alg: 'RS256' };
}

function start(backchannelLogoutUri) {
  const provider = new Provider(issuer, {
    jwks: { keys: [newKey()] },
    cookies: { keys: ['a-key-of-the-test'] },
    clients: [
      {
        client_id: CLIENT,
        client_secret: SECRET,
        redirect_uris: [callback],
        backchannel_logout_uri: backchannelLogoutUri,
        backchannel_logout_session_required: true,
      },
    ],
    features: {
      backchannelLogout: { enabled: true },
      devInteractions: { enabled: false },
      rpInitiatedLogout: { enabled: true },
    },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    // The library refuses to send anything to this machine, where the authority of the test is.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    // The person has agreed to everything.
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId,
        accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope('openid');
      await grant.save();
      return grant;
    },
  });
  provider.on('backchannel.success', () => sent.push('success'));
  provider.on('backchannel.error', (_, error) => sent.push(`error: ${error.message}`));
  // A person who knows their password.
  provider.use(async (ctx, next) => {
    if (!ctx.path.startsWith('/interaction/')) {
      return next();
    }
    const result = { login: { accountId: person } };
    return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
  });
  server.on('request', provider.callback());
}

let person;

// A browser with cookies, which follows redirects within the provider.
class Browser {
  cookies = new Map();

  async fetch(url, init = {}) {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, { ...init, redirect: 'manual', headers: { ...init.headers, cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [pair] = line.split(';');
      const at = pair.indexOf('=');
      this.cookies.set(pair.slice(0, at), pair.slice(at + 1));
    }
    const location = response.headers.get('location');
    if (!location || location.startsWith(callback)) {
      return { response, location };
    }
    return this.fetch(new URL(location, issuer));
  }
}

const browsers = new Map();

serve({
  async issuer() {
    return { issuer, client_id: CLIENT, jwks_uri: `${issuer}/jwks` };
  },

  async start({ backchannel_logout_uri: uri }) {
    start(uri);
    client = await openid.discovery(new URL(issuer), CLIENT, undefined, openid.ClientSecretBasic(SECRET), {
      execute: [openid.allowInsecureRequests],
    });
    return {};
  },

  // Signs a person in, as an application does, and returns what their ID token says.
  async sign_in({ user }) {
    person = user;
    const browser = new Browser();
    const verifier = openid.randomPKCECodeVerifier();
    const url = openid.buildAuthorizationUrl(client, {
      redirect_uri: callback,
      scope: 'openid',
      code_challenge: await openid.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    });
    const { location } = await browser.fetch(url);
    const tokens = await openid.authorizationCodeGrant(client, new URL(location), { pkceCodeVerifier: verifier });
    const { iss, sub, sid } = tokens.claims();
    browsers.set(user, { browser, idToken: tokens.id_token });
    return { iss, sub, sid };
  },

  // Ends the person's session at the provider, as its page of logout does, and returns what became of the logout tokens.
  async sign_out({ user }) {
    const { browser, idToken } = browsers.get(user);
    sent.length = 0;
    const url = openid.buildEndSessionUrl(client, { id_token_hint: idToken });
    const { response: page } = await browser.fetch(url);
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(await page.text())[1];
    await browser.fetch(`${issuer}/session/end/confirm`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ xsrf, logout: 'yes' }),
    });
    return { sent };
  },
});
