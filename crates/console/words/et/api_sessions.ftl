# API seansid: programmide võtmed.

api-sessions-title = API seansid
api-sessions-lead = Programmide võtmed: { $tenant }. Võti ei ole sisselogimine: omaniku väljalogimine seda ei lõpeta, omaniku keelamine lõpetab.
api-sessions-caption = API võtmed, uusimad ees
api-sessions-none = API võtmeid ei ole.
api-sessions-none-ended = Ükski võti pole aktiivne. Näidata saab ka lõppenud võtmeid.
api-sessions-read-only = Te näete võtmeid, kuid ei saa neid muuta. Administraator saab neid luua ja tühistada.
api-sessions-show-ended = Näita ka lõppenuid
api-sessions-owner-filter = Omanik (kasutaja id)
api-sessions-filter = Näita
api-sessions-filter-clear = Näita kõiki omanikke
api-sessions-new = Loo võti…
api-sessions-column-key = Võti
api-sessions-column-owner = Omanik
api-sessions-column-last-used = Viimati kasutatud
api-sessions-column-requests = Päringuid 24 tunnis
api-sessions-column-state = Olek
api-sessions-column-created = Loodud
api-sessions-column-expires = Aegub
api-sessions-column-scopes = Ulatused
api-sessions-never-used = Mitte kunagi
api-sessions-never-expires = Mitte kunagi
api-sessions-state-1 = Aktiivne
api-sessions-state-2 = Aegunud
api-sessions-state-3 = Tühistatud
api-sessions-state-0 = Teadmata
api-sessions-scopes-none = Puuduvad
api-sessions-ended = Lõppes { $time }
api-sessions-page-first = Esimene leht
api-sessions-page-next = Järgmine leht
api-sessions-pages = Lehed
api-sessions-page-gone = See loendi leht pole enam saadaval. See on esimene leht.
api-sessions-sparkline =
    { $total ->
        [0] Viimase 24 tunni jooksul ühtegi päringut.
        [one] Üks päring viimase 24 tunni jooksul.
       *[other] { $total } päringut viimase 24 tunni jooksul, kõige rohkem ühes tunnis: { $most }.
    }

api-sessions-key-title = API võti { $name }
api-sessions-key-id = Võtme id
api-sessions-hours = Päringud tundide kaupa
api-sessions-hours-caption = Päringud viimase 24 tunni igas tunnis, vanim ees
api-sessions-hours-none = Viimase 24 tunni jooksul ühtegi päringut.
api-sessions-hours-hour = Tund
api-sessions-hours-requests = Päringuid
api-sessions-revoke = Tühista see võti…
api-sessions-back = Tagasi loendisse

api-sessions-new-title = Loo API võti
api-sessions-new-owner = Omanik (kasutaja id)
api-sessions-new-owner-hint = 1 kuni 128 baiti. Selle kasutaja keelamine lõpetab võtme.
api-sessions-new-name = Nimi
api-sessions-new-name-hint = Inimestele: mis seda võtit kasutab. 1 kuni 128 baiti.
api-sessions-new-scopes = Ulatused
api-sessions-new-scopes-hint = Eraldatud tühikute või ridadega, kõige rohkem 64. Tühi: puuduvad.
api-sessions-new-audiences = Sihtrühmad
api-sessions-new-audiences-hint = Eraldatud tühikute või ridadega, kõige rohkem 16. Tühi: nagu paigalduses.
api-sessions-new-expires = Aegub pärast
api-sessions-expires-30 = 30 päeva
api-sessions-expires-90 = 90 päeva
api-sessions-expires-365 = 1 aastat
api-sessions-expires-never = Mitte kunagi (ei soovitata)
api-sessions-new-reason = Põhjus
api-sessions-new-reason-hint = Auditilogi jaoks. Kõige rohkem 1024 baiti. Võib jääda tühjaks.
api-sessions-new-create = Loo võti
api-sessions-cancel = Loobu
api-sessions-created-title = Võti on loodud
api-sessions-created-once = Kopeerige saladus kohe. Seda näidatakse ainult see kord: keegi ei saa seda uuesti näidata ja seda ei hoita kuskil.
api-sessions-created-secret = Saladus: { $name }
api-sessions-created-use = Programmid saadavad selle kujul „Authorization: Bearer …“. Ärge pange seda aadressidesse, logidesse ega lähtekoodi.
api-sessions-created-done = Olen selle kopeerinud
api-sessions-again-title = See vorm on juba saadetud
api-sessions-again = Sellega loodud võtit näidati siis, ja saladust näidatakse üks kord. Praegu ei tehtud midagi. Kui saladust ei kopeeritud, tühistage see võti ja looge uus.
api-sessions-again-list = Vaata võtmeid

api-sessions-revoke-title = Kas tühistada võti { $name }?
api-sessions-revoke-what = Iga programm, mis seda kasutab, lükatakse kohe igas väravas tagasi. Seda ei saa tagasi võtta.
api-sessions-revoke-reason = Põhjus
api-sessions-revoke-confirm = Tühista võti
api-sessions-revoked = Võti on tühistatud.
api-sessions-revoked-before = Võti oli juba lõppenud. Midagi ei muudetud.

api-sessions-wrong = Parandage need väljad. Midagi ei loodud.
api-sessions-wrong-revoke = Parandage see väli. Midagi ei tühistatud.
api-sessions-wrong-owner = Omanik: sisestage kasutaja id, 1 kuni 128 baiti, ilma juhtmärkideta.
api-sessions-wrong-name = Nimi: sisestage 1 kuni 128 baiti, ilma juhtmärkideta.
api-sessions-wrong-scopes = Ulatused: kõige rohkem 64, igaüks kuni 128 nähtavat ASCII märki, ilma jutumärkide ja langjoonteta.
api-sessions-wrong-audiences = Sihtrühmad: kõige rohkem 16, igaüks kuni 256 baiti.
api-sessions-wrong-expires = Valige, millal võti aegub.
api-sessions-wrong-reason = Põhjus: kõige rohkem 1024 baiti, ilma juhtmärkideta.
api-sessions-wrong-disabled = Omanik on keelatud. Lubage ta enne või valige teine omanik.
api-sessions-wrong-quota = Meeskonnal on nii palju võtmeid, kui tohib olla. Tühistage enne mõni.
api-sessions-wrong-other = Autoriteet lükkas väärtuse tagasi ({ $field }).
