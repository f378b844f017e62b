# The rooms of administrators: users, sessions, and signing out many.

team-nav = Meeskond
team-nav-users = Kasutajad
team-nav-sessions = Seansid

team-users = Meeskond: kasutajad
team-users-caption = Kasutajad, { $order }
team-sessions = Meeskond: seansid
team-sessions-caption = Seansid, { $order }
team-sessions-of = Kasutaja { $name } seansid
team-total =
    { $count ->
        [one] Üks aktiivne seanss rühmas { $tenant }
       *[other] { $count } aktiivset seanssi rühmas { $tenant }
    }
team-total-capped = Üle { $count } aktiivse seansi rühmas { $tenant }
team-reading-only = Võite vaadata, aga mitte midagi muuta. Seansse võib lõpetada administraator.
team-none-users = Ükski kasutaja ei vasta otsingule.
team-none-sessions = Ükski seanss ei vasta otsingule.

# Finding
team-find-users = Otsi kasutajaid
team-find-sessions = Otsi seansse
team-find = Otsi
team-find-clear = Näita kõiki
team-find-hint = Nimede osad mis tahes järjekorras; suur- ja väiketähed ning täpitähed ei loe.
team-field-user-name = Kasutajanimi
team-field-person-name = Ees- või perekonnanimi
team-field-email = E-post
team-field-network = Aadress sisselogimisel
team-field-network-hint = Üks aadress või võrk, näiteks 192.0.2.0/24
team-field-country-code = Riik
team-field-country-code-hint = Kaks tähte, näiteks EE
team-field-device-type = Seade
team-field-state = Olek
team-field-end-cause = Miks lõppes
team-field-signed-in-after = Viimane sisselogimine alates
team-field-signed-in-before = Viimane sisselogimine enne
team-field-started-after = Sisse logitud alates
team-field-started-before = Sisse logitud enne
team-field-last-active-after = Viimati aktiivne alates (päev, UTC)
team-field-last-active-before = Viimati aktiivne enne (päev, UTC)
team-field-active-addresses-min = Praegu aktiivne vähemalt nii mitmelt aadressilt
team-field-active-addresses-min-hint = 2 kuni 100
team-field-shown = Kasutajad
team-shown-signed-in = Aktiivsete seanssidega
team-shown-all = Kõik, ka väljalogitud ja keelatud
team-any = Kõik
team-wrong = Parandage märgitud väljad. Midagi ei otsitud.
team-wrong-name = Kuni 8 sõna ja 256 märki, mitte tühi.
team-wrong-network = Sisestage üks aadress või võrk, näiteks 192.0.2.0/24.
team-wrong-country-code = Sisestage kaks tähte, näiteks EE.
team-wrong-time = Sisestage õige kuupäev. Algus ei tohi olla lõpust hilisem.
team-wrong-active-addresses-min = Sisestage arv 2 kuni 100.

# Columns
team-column-select = Vali
team-column-user-name = Kasutajanimi
team-column-person-name = Perekonna- ja eesnimi
team-column-sign-in = Viimane sisselogimine
team-column-sessions = Seansid
team-column-last-active = Viimati aktiivne
team-column-addresses = Aadresse praegu
team-column-state = Olek
team-column-roles = Rollid
team-column-user = Kasutaja
team-column-device = Seade
team-column-place = Koht
team-column-address = Aadress
team-column-signed-in = Sisse logitud
team-order-sign-in = viimati sisse loginud eespool
team-order-user-name = kasutajanime järgi
team-order-person-name = perekonnanime järgi
team-order-sessions = kõige rohkem seansse eespool
team-order-last-active = viimati aktiivsed eespool
team-order-start = uuemad eespool
team-order-user = kasutaja järgi
team-select-user = Vali { $name }
team-select-session = Vali kasutaja { $name } seanss seadmes { $device }, sisse logitud { $time }
team-select-all = Vali kõik sellel lehel
team-select-none = Ära vali midagi
team-more = üle { $count }
team-never = Mitte kunagi
team-findings =
    { $count ->
        [one] Üks leid
       *[other] { $count } leidu
    }

# States
team-state-active-now = Praegu aktiivne
team-state-idle = Jõude
team-state-signed-out = Välja logitud
team-state-disabled = Keelatud
team-state-you = Teie
team-state-this = Teie seanss
team-session-active = Aktiivne
team-session-expired = Aegunud
team-session-signed-out = Kasutaja logis välja
team-session-revoked = Lõpetatud
team-session-any = Kõik, ka lõppenud
team-role-1 = Kasutajatugi
team-role-2 = Administraator
team-role-none = Puuduvad

# Pages of lists
team-pages = Lehed
team-page = Leht { $number }
team-page-previous = Eelmine leht
team-search-gone = See otsing ei ole enam saadaval
team-search-gone-why = Selle aadressi tegi varasem konsool või see oli kellegi teise jaoks. Midagi ei muudetud.
team-search-again = Otsi uuesti
team-page-gone = See loendi leht ei ole enam saadaval. Siin on esimene leht.

# Actions
team-end-selected = Lõpeta valitud seansid…
team-end-matching = Lõpeta kõik vastavad…
team-end-users = Lõpeta seansid…
team-end-disable = Lõpeta ja keela…
team-enable = Luba uuesti…
team-end-all-of-user = Lõpeta kõik seansid…

# One user
team-user = Kasutaja
team-user-id = Kasutaja ID
team-user-created = Esmakordselt nähtud
team-user-disabled = Keelatud { $time }. Kasutaja ei saa sisse logida ega seanssi uuendada.
team-user-own = See on teie enda konto. Teid peab keelama või teie rolle muutma teine administraator.
team-user-show-ended = Näita ka lõppenud seansse
team-user-hide-ended = Näita ainult aktiivseid seansse
team-ended-why = { $cause }: { $reason }
team-roles = Rollid
team-roles-what = Kasutajatugi näeb meeskonna seansse, kasutajaid, seadeid ja auditilogi. Administraator võib neid ka muuta.
team-roles-save = Muuda rolle
team-roles-changed = Keegi muutis vahepeal rolle. Allpool on praegused rollid. Midagi ei muudetud.

# Before something ends
team-preview =
    { $count ->
        [0] Praegu ei ole ükski seanss aktiivne.
        [one] Lõpeb üks seanss.
       *[other] Lõpeb { $count } seanssi.
    }
team-preview-capped = Lõpeb üle { $count } seansi.
team-preview-sample = Uusimad neist
team-preview-later = Ka seansid, mis avatakse enne teie kinnitust, lõpevad.
team-force = Sunnitud väljalogimine
team-force-what = Lõpetab kasutajate kõik seansid. Nad võivad uuesti sisse logida, kui te neid ei keela.
team-force-users = Väljalogitavad kasutajad
team-force-ids = Kasutajate ID-d
team-force-ids-hint = Üks ID real, kuni 1000. Ka veel tundmatud ID-d logitakse välja.
team-force-look = Vaata, mis lõpeb
team-force-one = Logi välja { $name }
team-force-many =
    { $count ->
        [one] Logi välja üks kasutaja
       *[other] Logi välja { $count } kasutajat
    }
team-force-unknown = ei ole kunagi sisse loginud
team-force-own = Teie olete üks neist: ka teid logitakse välja.
team-force-own-disable = Teie olete üks neist. Iseennast te keelata ei saa: seda peab tegema teine administraator.
team-force-confirm = Lõpeta seansid
team-force-disable = Ka keela: uued sisselogimised lükatakse tagasi ja API-võtmed lõpevad
team-reason = Põhjus
team-reason-hint = Auditilogi jaoks. Kuni 1024 baiti.
team-message = Tekst kasutajale
team-message-hint = Kasutaja näeb seda, kui ta välja logitakse. Võib jääda tühjaks. Kuni 1024 baiti.
team-wrong-reason = Sisestage põhjus, kuni 1024 baiti.
team-wrong-message = Kuni 1024 baiti.
team-wrong-users = Nimetage 1 kuni 1000 kasutajat. ID-s on kuni 128 baiti.
team-wrong-sessions = Valige vähemalt üks seanss.
team-end = Lõpeta seansid
team-end-what = Lõpevad ainult need seansid. Mujal jäävad kasutajad sisselogituks.
team-end-confirm = Lõpeta need seansid
team-matching = Lõpeta kõik vastavad seansid
team-matching-what = Lõpetab korraga kuni 1000, uuemad enne. Seansid, mis hakkavad hiljem vastama, jäävad.
team-matching-condition = { $field }: { $value }
team-enable-title = Luba uuesti { $name }
team-enable-what = Kasutaja võib uuesti sisse logida. Lõppenud seansid ja API-võtmed jäävad lõppenuks.
team-enable-not = See kasutaja ei ole keelatud. Midagi ei ole tagasi võtta.
team-enable-confirm = Luba kasutaja
team-everyone = Logi välja kogu meeskond
team-everyone-what = Lõpetab rühma { $tenant } kõik seansid, ka teie oma. Kõik peavad uuesti sisse logima.
team-everyone-type = Kinnitamiseks sisestage { $tenant }
team-everyone-confirm = Logi kõik välja
team-wrong-confirmation = Sisestage nimi täpselt: { $tenant }

# Afterwards
team-done = Tehtud
team-done-ended =
    { $count ->
        [0] Midagi ei olnud enam lõpetada: ükski seanss ei olnud aktiivne.
        [one] Üks seanss lõpetati.
       *[other] { $count } seanssi lõpetati.
    }
team-done-ended-capped = Lõpetati üle { $count } seansi.
team-done-disabled =
    { $count ->
        [one] Kasutaja on keelatud.
       *[other] { $count } kasutajat on keelatud.
    }
team-done-enabled = Kasutaja võib uuesti sisse logida.
team-done-roles = Rollid kehtivad: { $roles }.
team-done-unknown = Need kasutajad ei ole kunagi sisse loginud ja on tõenäoliselt eksitused:
team-done-unknown-more =
    { $count ->
        [one] ja veel üks
       *[other] ja veel { $count }
    }
team-done-more = Otsingule vastab veel seansse.
team-done-more-again = Vaata ülejäänuid…
team-done-own = Ka teie enda seanss on lõppenud.
team-done-sign-in = Logi uuesti sisse
team-back = Tagasi loendisse
team-back-user = Tagasi kasutaja juurde
