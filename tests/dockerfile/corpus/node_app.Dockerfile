FROM node:20-alpine AS deps
WORKDIR /app
COPY package.json package-lock.json* yarn.lock* ./
RUN \
  if [ -f yarn.lock ]; then yarn --frozen-lockfile; \
  elif [ -f package-lock.json ]; then npm ci; \
  else echo "Lockfile not found." && exit 1; \
  fi

FROM node:20-alpine
ENV NODE_ENV production
COPY --from=deps /app/node_modules ./node_modules
COPY --link . .
CMD [ "node", "server.js" ]
