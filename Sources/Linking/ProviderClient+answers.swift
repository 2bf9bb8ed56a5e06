import Accounts
import Logging
import Providers
import Store
import Transfer

/// What answers say of the provider's limits and its health.
extension ProviderClient {
    /// Their outcome is not the breaker's: `AuthorizationServers` remembers failures of its own.
    private static let metadataRoutes: Set = [discoveryRoute, keysRoute]
    /// What is known of others' pauses, rates and circuits is as old as this at most.
    private static let sharedMaximumAge: Duration = .seconds(5)
    private static let refusalsPause: Duration = .seconds(600)

    func observe(
        _ result: Result<TransferResponse, TransferError>, of provider: Provider, account: AccountID?, route: String,
        sentAt: Timestamp
    ) async {
        let now = time.now()
        let id = provider.id
        count(result, of: provider, now: now)
        switch result {
        case .failure(let error):
            switch error {
            case .cancelled, .invalidRequest, .destinationRefused: gate(id).breaker.abandon()
            default: await failed(provider, route: route, sentAt: sentAt)
            }
        case .success(let response):
            if let signal = provider.limitSignal(in: response, now: now) {
                await obey(signal, provider: provider, account: account, route: route)
                if signal.reach == .everyone, response.status == 429 || response.status == 403 {
                    await learn(provider, sentAt: sentAt)
                }
            }
            if response.status >= 500 {
                await failed(provider, route: route, sentAt: sentAt)
            } else if Self.metadataRoutes.contains(route) {
                gate(id).breaker.abandon()
            } else if gate(id).breaker.succeeded(now: now, sentAt: sentAt) {
                logger.notice("A provider is back", metadata: ["provider": "\(id)"])
                await storeGovernor(of: id)
            }
            if provider.countsAsInvalidRequest(response, now: now) { await countInvalid(provider) }
        }
    }

    /// A provider that refuses too much locks this address out. Half of what it bears, in any case; a tenth, where most of
    /// what it answers is refused: then something is wrong with us, and not with some accounts.
    private func countInvalid(_ provider: Provider) async {
        guard let budget = provider.limits.invalidRequests else { return }
        let now = time.now()
        gate(provider.id).recent.add(now: now) { $0.invalid += 1 }
        let count: Int
        do {
            count = try await database.allowances.count(
                provider: provider.id, key: Self.invalidKey, window: budget.window)
        } catch {
            logger.error("A refusal can't be counted", metadata: ["provider": "\(provider.id)", "error": "\(error)"])
            // What can't be counted must not go on.
            await store(pause: now + .seconds(60), of: provider.id, reason: .tooManyRefusals)
            return
        }
        let recent = gate(provider.id).recent.lastMinute(now: now)
        let most = recent.invalid * 2 > recent.requests ? budget.count / 10 : budget.count / 2
        if count >= max(1, most) {
            await store(pause: now + Self.refusalsPause, of: provider.id, reason: .tooManyRefusals)
        }
    }

    func invalidRequests(of provider: Provider) async -> Int {
        guard let budget = provider.limits.invalidRequests else { return 0 }
        // For those who watch: what can't be read now is shown the next time.
        return
            (try? await database.allowances.counted(
                provider: provider.id, key: Self.invalidKey, window: budget.window)) ?? 0
    }

    private static let invalidKey = "invalid"

    private func learn(_ provider: Provider, sentAt: Timestamp) async {
        let now = time.now()
        guard gate(provider.id).rate.refused(now: now, sentAt: sentAt) else { return }
        logger.notice(
            "A provider's limit is lower than configured",
            metadata: ["provider": "\(provider.id)", "share": "\(gate(provider.id).rate.share(now: now))"])
        await storeGovernor(of: provider.id)
    }

    private func storeGovernor(of id: ProviderID) async {
        let stored = gate(id).changed(now: time.now())
        do {
            try await database.providers.store(stored, of: id)
        } catch {
            logger.error(
                "What a provider taught can't be stored", metadata: ["provider": "\(id)", "error": "\(error)"])
        }
    }

    private func count(_ result: Result<TransferResponse, TransferError>, of provider: Provider, now: Timestamp) {
        gate(provider.id).recent.add(now: now) { counts in
            counts.requests += 1
            switch result {
            case .failure(.cancelled): break
            case .failure: counts.failures += 1
            case .success(let response):
                if response.status >= 500 { counts.failures += 1 }
                if provider.limitSignal(in: response, now: now) != nil { counts.limited += 1 }
            }
        }
    }

    private func obey(_ signal: LimitSignal, provider: Provider, account: AccountID?, route: String) async {
        switch signal.reach {
        case .everyone:
            await store(pause: signal.until, of: provider.id, reason: .asked)
        case .route: gate(provider.id).routePauses[route] = signal.until
        // A request without an access token that is refused by a user's limit: whoever comes next by this route is
        // refused just so.
        case .token where !provider.carriesAccessToken(route: route):
            gate(provider.id).routePauses[route] = signal.until
        case .token:
            if let account { gate(provider.id).pause(account, until: signal.until, now: time.now()) }
        }
        if signal.isClamped {
            logger.warning(
                "A provider asks for a pause of more than a day",
                metadata: ["provider": "\(provider.id)", "until": "\(signal.until)"])
        }
    }

    private func failed(_ provider: Provider, route: String, sentAt: Timestamp) async {
        // What publishes the endpoints says nothing of the endpoints.
        if Self.metadataRoutes.contains(route) {
            gate(provider.id).breaker.abandon()
            return
        }
        let opened = gate(provider.id).breaker.failed(now: time.now(), sentAt: sentAt, random: random)
        guard let opened else { return }
        logger.warning(
            "A provider fails and is left alone",
            metadata: ["provider": "\(provider.id)", "until": "\(opened)"])
        await storeGovernor(of: provider.id)
    }

    func store(pause until: Timestamp, of id: ProviderID, reason: PauseReason) async {
        let gate = gate(id)
        if let known = gate.pausedUntil, known >= until, ProviderGate.holds(known, now: time.now()) { return }
        gate.pausedUntil = until
        gate.pauseReason = reason
        logger.notice(
            "A provider is paused", metadata: ["provider": "\(id)", "until": "\(until)", "reason": "\(reason)"])
        do {
            try await database.schedule.pauseProvider(id, until: until, reason: reason.text)
        } catch {
            logger.error("A pause can't be stored", metadata: ["provider": "\(id)", "error": "\(error)"])
        }
    }

    /// Whoever comes while it is being read waits for it: nobody goes ahead on what a restart has forgotten.
    func readShared() async {
        if let sharedReading { return await sharedReading.value }
        let now = time.now()
        if let readAt = sharedReadAt, now - readAt < Self.sharedMaximumAge, now >= readAt { return }
        let reading = Task { await self.readSharedAnew() }
        sharedReading = reading
        await reading.value
        sharedReading = nil
        sharedReadAt = now
    }

    private func readSharedAnew() async {
        do {
            let pauses = try await database.schedule.providerPauses()
            let governors = try await database.providers.governors()
            let now = time.now()
            for pause in pauses {
                let gate = gate(pause.provider)
                let known = gate.pausedUntil ?? .epoch
                guard known < pause.until || !ProviderGate.holds(known, now: now) else { continue }
                gate.pausedUntil = pause.until
                gate.pauseReason = PauseReason(stored: pause.reason)
            }
            for (provider, governor) in governors { gate(provider).restore(governor, now: now) }
        } catch {
            logger.error("What is known of providers can't be read", metadata: ["error": "\(error)"])
        }
    }
}
