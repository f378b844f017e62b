# Lo que tienen todas las páginas.

frame-product = Portcullis
frame-skip = Ir al contenido
frame-navigation = Principal
frame-signed-in-as = Sesión de
frame-zone = Las horas son de { $zone }.
frame-language = Idioma
frame-theme = Tema
frame-theme-auto = Como el sistema
frame-theme-light = Claro
frame-theme-dark = Oscuro
frame-apply = Aplicar

frame-room-mine = Mis sesiones
frame-room-team = Equipo
frame-room-settings = Ajustes
frame-room-api-sessions = Sesiones de API
frame-room-audit = Registro de auditoría
frame-room-gates = Puertas

frame-cancel = Cancelar
frame-back = Volver
frame-refresh = Actualizar
frame-next-page = Página siguiente
frame-first-page = Primera página
frame-unknown = Desconocido
frame-none = Ninguno

frame-time-now = ahora mismo
frame-time-minutes-ago = { $count ->
    [one] hace { $count } minuto
   *[other] hace { $count } minutos
}
frame-time-hours-ago = { $count ->
    [one] hace { $count } hora
   *[other] hace { $count } horas
}
frame-time-days-ago = { $count ->
    [one] hace { $count } día
   *[other] hace { $count } días
}
frame-time-in-minutes = { $count ->
    [one] dentro de { $count } minuto
   *[other] dentro de { $count } minutos
}
frame-time-in-hours = { $count ->
    [one] dentro de { $count } hora
   *[other] dentro de { $count } horas
}
frame-time-in-days = { $count ->
    [one] dentro de { $count } día
   *[other] dentro de { $count } días
}
frame-length-seconds = { $count ->
    [one] { $count } segundo
   *[other] { $count } segundos
}
frame-length-minutes = { $count ->
    [one] { $count } minuto
   *[other] { $count } minutos
}
frame-length-hours = { $count ->
    [one] { $count } hora
   *[other] { $count } horas
}
frame-length-days = { $count ->
    [one] { $count } día
   *[other] { $count } días
}

frame-receipt = { $gates ->
    [0] No hay ninguna puerta conectada. Se rechazará en cualquiera que se conecte.
    [one] { $dropped } de { $gates } puerta la ha cerrado, { $milliseconds } ms después de la orden.
   *[other] { $dropped } de { $gates } puertas la han cerrado, { $milliseconds } ms después de la orden.
}
frame-receipt-complete = { $gates ->
    [0] No hay ninguna puerta conectada. Se rechazará en cualquiera que se conecte.
    [one] La puerta la ha cerrado en { $milliseconds } ms.
   *[other] Las { $gates } puertas la han cerrado en { $milliseconds } ms.
}

frame-receipt-all = { $gates ->
    [0] No hay ninguna puerta conectada. Se rechazará en cualquiera que se conecte.
    [one] La puerta la ha cerrado.
   *[other] Las { $gates } puertas la han cerrado.
}

frame-problem-sign-in = Inicie sesión de nuevo
frame-problem-sign-in-advice = Su sesión ya no es válida o ha caducado. No se ha cambiado nada. Inicie sesión y volverá a esta página.
frame-problem-sign-in-link = Iniciar sesión
frame-problem-recent = Confirme que es usted
frame-problem-recent-advice = Su organización exige haber iniciado sesión hace poco para hacer esto. No se ha cambiado nada. Inicie sesión de nuevo y volverá a esta página.
frame-problem-ended = Esta sesión ha terminado
frame-problem-ended-advice = No se ha cambiado nada. La página siguiente explica cómo terminó la sesión y qué puede hacer.
frame-problem-ended-link = Ver por qué
frame-problem-denied = No puede hacer esto
frame-problem-denied-advice = Su rol no lo incluye. No se ha cambiado nada. Consulte con un administrador de su organización.
frame-problem-forbidden = Su organización no lo permite
frame-problem-forbidden-advice = Un ajuste de su organización lo prohíbe. No se ha cambiado nada. Consulte con un administrador.
frame-problem-foreign = Esta petición viene de otro sitio
frame-problem-foreign-advice = No se ha cambiado nada. Si quería hacerlo, hágalo en una página de esta consola.
frame-problem-outdated = Este formulario ya no sirve
frame-problem-outdated-advice = Pertenece a otra sesión o se abrió antes de una actualización. No se ha cambiado nada. Abra la página otra vez y repítalo.
frame-problem-not-found = Aquí no hay nada
frame-problem-not-found-advice = La dirección no es correcta, lo que había se ha eliminado o no puede verlo.
frame-problem-method = Esta dirección no tiene ese formulario
frame-problem-method-advice = Abra primero la página y use sus botones.
frame-problem-invalid = Esto no se entiende
frame-problem-invalid-advice = Un campo o una dirección tiene un valor que no encaja. No se ha cambiado nada. Vuelva atrás, corríjalo y envíelo de nuevo.
frame-problem-too-large = Es demasiado texto
frame-problem-too-large-advice = No se ha cambiado nada. Vuelva atrás, acórtelo y envíelo de nuevo.
frame-problem-conflict = Alguien se ha adelantado
frame-problem-conflict-advice = Ha cambiado desde que abrió la página. Ahora no se ha cambiado nada. Abra la página otra vez para ver cómo está.
frame-problem-old-page = Esta lista ha cambiado
frame-problem-old-page-advice = La página es de una lista anterior. Empiece por la primera página.
frame-problem-last-administrator = Alguien tiene que seguir como administrador
frame-problem-last-administrator-advice = Su organización se quedaría sin ninguno. No se ha cambiado nada. Nombre antes a otro administrador.
frame-problem-own-account = No con su propia cuenta
frame-problem-own-account-advice = Los administradores no pueden desactivarse ni cambiar sus propios roles. No se ha cambiado nada. Pídaselo a otro administrador.
frame-problem-too-many = Demasiadas peticiones
frame-problem-too-many-advice = No se ha cambiado nada. Espere unos segundos e inténtelo de nuevo.
frame-problem-too-slow = Esta búsqueda tarda demasiado
frame-problem-too-slow-advice = No se ha cambiado nada. Acótela, por ejemplo con un nombre o un tiempo más corto.
frame-problem-away = El servicio de sesiones no responde
frame-problem-away-advice = No se puede conectar en este momento. Las sesiones siguen como están. Esta página lo intenta de nuevo cada pocos segundos.
frame-problem-away-form-advice = No responde en este momento, así que no se sabe si el cambio se hizo. Abra la página otra vez para verlo. Repetirlo no hace daño.
frame-problem-again-link = Intentar de nuevo
frame-problem-internal = Algo ha fallado
frame-problem-internal-advice = Es un fallo de la consola o del servicio de sesiones y ha quedado registrado. Compruebe qué ha cambiado antes de repetirlo.
frame-problem-home-link = A mis sesiones
